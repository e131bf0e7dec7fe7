package systest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"intelligentmirror/internal/testrepo"
)

// compressedPacket is an OpenPGP message that unpacks to so many bytes, where a
// signature should be.
func compressedPacket(t testing.TB, size int64) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := armor.Encode(&b, openpgp.SignatureType, nil)
	if err != nil {
		t.Fatal(err)
	}
	z, err := packet.SerializeCompressed(nopCloser{w}, packet.CompressionZLIB, nil)
	for left := size; err == nil && left > 0; left -= 1 << 20 {
		_, err = z.Write(make([]byte, 1<<20))
	}
	if err = errors.Join(err, z.Close(), w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// nopCloser keeps what closes its packet from closing the armor around it.
type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// TestHostileSuiteBombs is TestHostileSuite for what is small and unpacks to much, or
// takes much to be unpacked, in each compression that indices have, and for what is
// just large.
func TestHostileSuiteBombs(t *testing.T) {
	forged := func(packed func() ([]byte, error)) func(*betrayed) {
		return func(b *betrayed) {
			p, err := packed()
			if err != nil {
				b.t.Fatal(err)
			}
			b.lie(b.forge(p))
		}
	}
	bomb := func(c testrepo.Compression) betrayal {
		return betrayal{
			suite: packedAs(c), reason: "unpacks to more than is allowed", metric: "metadata",
			// Of long lines, so that a slow machine is through with as much as it may unpack in the client's time.
			lie: forged(func() ([]byte, error) {
				return testrepo.Bomb(c, "Package: x\n", "Package: x\nDescription: "+strings.Repeat("x", 4000)+"\n\n", 80<<20)
			}),
		}
	}
	greedy := func(c testrepo.Compression) betrayal {
		return betrayal{
			suite: packedAs(c), reason: "asks for a window", metric: "metadata",
			lie: forged(func() ([]byte, error) { return testrepo.Greedy(c, "Package: x\n", 2<<30) }),
		}
	}
	endless := func(pattern, reason string) betrayal {
		return betrayal{apart: true, keys: true, reason: reason, metric: "length", lie: func(b *betrayed) {
			b.lie(b.build("3"))
			b.liar.On(pattern, testrepo.Endless())
		}}
	}
	for name, x := range map[string]betrayal{
		"Packages.gz":                             bomb(testrepo.Gzip),
		"Packages.xz":                             bomb(testrepo.XZ),
		"Packages.zst":                            bomb(testrepo.Zstd),
		"Packages.xz, a dictionary of 2 GiB":      greedy(testrepo.XZ),
		"Packages.zst, a window of 2 GiB":         greedy(testrepo.Zstd),
		"Release without end":                     endless("*/Release", "more than 4 MiB"),
		"Release.gpg without end":                 endless("*/Release.gpg", "more than the"),
		"Release.gpg that unpacks to 64 MiB":      {apart: true, keys: true, reason: "bad signature", metric: "signature", lie: packedSignature},
		"InRelease of 20,000 files by a stranger": {keys: true, reason: "signed by a key that is not among", metric: "signature", lie: vastRelease},
	} {
		t.Run(name, x.run)
	}
}

// packedAs is a suite whose indices are to be had in that compression first, and as gzip.
func packedAs(c testrepo.Compression) testrepo.Suite {
	if c == testrepo.Gzip {
		return testrepo.Suite{}
	}
	return testrepo.Suite{Packed: []testrepo.Compression{c, testrepo.Gzip}}
}

// packedSignature has a publication whose signature is a bomb.
func packedSignature(b *betrayed) {
	b.t.Helper()
	b.lie(b.build("3"))
	b.lie(map[string][]byte{"dists/stable/Release.gpg": compressedPacket(b.t, 64<<20)})
}

// vastRelease has a publication, signed by a stranger, that lists more than any does.
func vastRelease(b *betrayed) {
	b.t.Helper()
	ours, stranger := b.suite.Inline, newKey(b.t)
	b.suite.Inline = func(text []byte) ([]byte, error) {
		for i := range 20_000 {
			text = fmt.Appendf(text, " %s %d main/binary-amd64/other-%d.gz\n", digest(nil), i, i)
		}
		return stranger.Inline(text)
	}
	defer func() { b.suite.Inline = ours }()
	b.lie(b.build("3"))
}

// TestHostileRun: what imserve passes on unread and imsync reads, advisories, groups and
// modules, is no way to fill the memory of a run, which fetches what there is to fetch
// without them, and says why.
func TestHostileRun(t *testing.T) {
	for _, tt := range []struct {
		typ, name, head, unit, reason string
		c                             testrepo.Compression
		fetched                       int
	}{
		{"updateinfo", "updateinfo.xml", "<updates>", "<update><pkglist/></update>", "unpacks to more than is allowed", testrepo.Gzip, 1},
		{"updateinfo", "updateinfo.xml", "<updates><update><pkglist><collection>", `<package name="a" version="1" release="1" arch="x"/>`, "unpacks to more than is allowed", testrepo.Zstd, 1},
		{"group", "comps.xml", "<comps><group><id>a</id><packagelist>", `<packagereq type="mandatory">a</packagereq>`, "more than 16 MiB", testrepo.XZ, 1},
		// Which packages are a module's is not known then: none is better than all.
		{"modules", "modules.yaml", "document: modulemd\ndata: [", "a, ", "a document of more than 1 MiB", testrepo.Zstd, 0},
	} {
		t.Run(tt.name+" "+tt.head, func(t *testing.T) {
			s := newSite(t, "[sync]\npackages = [\"good\"]\nroots = [\""+rootName+"\"]")
			specs := []testrepo.Spec{{Name: "good", Version: "1", Release: "1", Size: 20_000}}
			err := testrepo.Build(s.repo, specs, testrepo.BuildOptions{Extra: []testrepo.Metadata{{Type: tt.typ, Name: tt.name, Text: "none"}}})
			if err != nil {
				t.Fatal(err)
			}
			packed, err := testrepo.Bomb(tt.c, tt.head, tt.unit, 128<<20)
			if err == nil {
				err = testrepo.Forge(s.repo, tt.typ, packed, 0)
			}
			if err != nil {
				t.Fatal(err)
			}
			p := s.startImsync("once", "--json")
			most := p.most()
			if code := p.wait(); code != 1 {
				t.Errorf("exit code %d, want 1: done in part", code)
			}
			var r report
			if err := json.Unmarshal(p.stdout.Bytes(), &r); err != nil {
				t.Fatal(err)
			}
			if r.Failures != 1 || r.Fetched != tt.fetched || len(r.Roots) != 1 || len(r.Roots[0].Failed) != 1 || !strings.Contains(r.Roots[0].Failed[0].Error, tt.reason) {
				t.Errorf("want %d fetched, one failure, %q: %s", tt.fetched, tt.reason, p.stdout.String())
			}
			if measured() && most > hostileBound {
				t.Errorf("%d MiB were resident, more than %d", most>>20, hostileBound>>20)
			}
			t.Logf("%d MiB were resident at the most", most>>20)
		})
	}
}

// most is the most that the process has resident until it ends, in bytes, as far as
// looking at it again and again tells. What the system counts for a process that has
// ended begins with what the test's own had.
func (p *process) most() (n int64) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for p.running() {
		if now, err := p.memory("VmHWM"); err == nil { // one that ends has none
			n = max(n, now)
		}
		<-tick.C
	}
	return n
}
