package testrepo

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"strings"

	"github.com/google/rpmpack"
)

// What every package says of where it comes from.
const (
	buildHost = "build.testrepo.example"
	vendor    = "IntelligentMirror testrepo"
	license   = "MIT"
)

// tagSourceRPM is RPMTAG_SOURCERPM, which rpmpack fills with the package's own name.
const tagSourceRPM = 1044

// pkg is a built package with what the metadata says of it.
type pkg struct {
	Spec
	sum                    string // SHA-256 of the package file, hexadecimal
	size                   int64  // bytes of the package file
	installed              int64  // bytes of its files
	headerStart, headerEnd int64  // the main header's place in the package file
	files                  []file

	requires, provides, obsoletes, conflicts, recommends []dep
}

// file is one entry of a package's file list.
type file struct {
	path string
	dir  bool
}

// buildRPM makes the package file of s. The payload file's bytes depend on
// the seed, on the package's full name and on its build time.
func buildRPM(s Spec, o BuildOptions) (*pkg, []byte, error) {
	p := &pkg{Spec: s}
	if err := p.resolve(); err != nil {
		return nil, nil, err
	}
	epoch := rpmpack.NoEpoch
	if s.Epoch != 0 {
		epoch = uint32(s.Epoch)
	}
	summary := s.Summary
	if summary == "" {
		summary = "The " + s.Name + " package"
	}
	p.Summary = summary
	r, err := rpmpack.NewRPM(rpmpack.RPMMetaData{
		Name: s.Name, Version: s.Version, Release: s.Release, Epoch: epoch, Arch: s.arch(),
		Summary: summary, Description: summary, Licence: license, Vendor: vendor,
		BuildHost: buildHost, Group: "Unspecified", BuildTime: s.buildTime(),
		// Level 0 stores: the payload is random, and packing it would only cost time.
		Compressor: "gzip:0",
		Requires:   relations(p.requires), Obsoletes: relations(p.obsoletes),
		Conflicts: relations(p.conflicts), Recommends: relations(p.recommends),
	})
	if err != nil {
		return nil, nil, err
	}
	// NewRPM adds the package's name without the epoch; ours have it.
	r.Provides = relations(p.provides)
	r.AddCustomTag(tagSourceRPM, rpmpack.EntryString(p.sourceRPM()))
	p.addFiles(r, o.Seed)
	if o.Sign != nil {
		if sign := o.Sign(s); sign != nil {
			r.SetPGPSigner(sign)
		}
	}

	var buf bytes.Buffer
	if err := r.Write(&buf); err != nil {
		return nil, nil, err
	}
	raw := buf.Bytes()
	p.size = int64(len(raw))
	sum := sha256.Sum256(raw)
	p.sum = hex.EncodeToString(sum[:])
	if p.headerStart, p.headerEnd, err = headerRange(raw); err != nil {
		return nil, nil, err
	}
	return p, raw, nil
}

// resolve parses the dependencies, and adds those that every package has.
func (p *pkg) resolve() error {
	self := []string{p.Name + " = " + p.EVR()}
	if p.arch() == "x86_64" {
		self = append(self, p.Name+"(x86-64) = "+p.EVR())
	}
	for _, l := range []struct {
		in  []string
		out *[]dep
	}{
		{p.Requires, &p.requires},
		{slices.Concat(p.Provides, self), &p.provides},
		{p.Obsoletes, &p.obsoletes},
		{p.Conflicts, &p.conflicts},
		{p.Recommends, &p.recommends},
	} {
		deps, err := parseDeps(l.in)
		if err != nil {
			return err
		}
		*l.out = deps
	}
	return nil
}

func (p *pkg) sourceRPM() string {
	return p.source() + "-" + p.Version + "-" + p.Release + ".src.rpm"
}

// addFiles puts the payload file and the small ones into r, and fills p.files,
// in the order that rpm and createrepo_c list them.
func (p *pkg) addFiles(r *rpmpack.RPM, seed uint64) {
	add := func(name string, body []byte, mode uint) {
		r.AddFile(rpmpack.RPMFile{
			Name: name, Body: body, Mode: mode, Owner: "root", Group: "root",
			MTime: uint32(p.buildTime().Unix()),
		})
		p.files = append(p.files, file{path: name, dir: mode&0o040000 != 0})
		p.installed += int64(len(body))
	}
	for _, name := range p.Files {
		switch {
		case strings.HasSuffix(name, "/"):
			add(strings.TrimSuffix(name, "/"), nil, 0o040755)
		case strings.HasSuffix(path.Dir(name), "bin"):
			add(name, fmt.Appendf(nil, "#!/bin/sh\n# %s of %s\n", path.Base(name), p.NEVRA()), 0o755)
		default:
			add(name, fmt.Appendf(nil, "%s of %s\n", name, p.NEVRA()), 0o644)
		}
	}
	if p.Size > 0 {
		body := make([]byte, p.Size)
		id := fmt.Sprintf("%d %s %d", seed, p.NEVRA(), p.buildTime().Unix())
		// Read of a ChaCha8 never fails.
		_, _ = rand.NewChaCha8(sha256.Sum256([]byte(id))).Read(body)
		add(p.payloadPath(), body, 0o644)
	}
	slices.SortFunc(p.files, func(a, b file) int { return strings.Compare(a.path, b.path) })
}

// relations are dependencies as rpmpack takes them.
func relations(deps []dep) rpmpack.Relations {
	var out rpmpack.Relations
	for _, d := range deps {
		r := &rpmpack.Relation{Name: d.name, Version: d.evr()}
		switch d.op {
		case "<":
			r.Sense = rpmpack.SenseLess
		case "<=":
			r.Sense = rpmpack.SenseLess | rpmpack.SenseEqual
		case "=":
			r.Sense = rpmpack.SenseEqual
		case ">=":
			r.Sense = rpmpack.SenseGreater | rpmpack.SenseEqual
		case ">":
			r.Sense = rpmpack.SenseGreater
		}
		out = append(out, r)
	}
	return out
}

const leadSize = 96

// headerRange finds the main header of a package file: behind the lead and
// the signature header, which is padded to 8 bytes.
func headerRange(raw []byte) (start, end int64, err error) {
	sigEnd, err := headerEnd(raw, leadSize)
	if err != nil {
		return 0, 0, err
	}
	start = (sigEnd + 7) / 8 * 8
	end, err = headerEnd(raw, start)
	return start, end, err
}

// headerEnd is the offset behind the header structure that begins at off.
func headerEnd(raw []byte, off int64) (int64, error) {
	const intro = 16 // magic and version, reserved, number of entries, bytes of data
	if int64(len(raw)) < off+intro || !bytes.HasPrefix(raw[off:], []byte{0x8e, 0xad, 0xe8}) {
		return 0, errors.New("no RPM header where one should begin")
	}
	entries := binary.BigEndian.Uint32(raw[off+8:])
	data := binary.BigEndian.Uint32(raw[off+12:])
	return off + intro + 16*int64(entries) + int64(data), nil
}
