package repodata

import (
	"errors"
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"
)

// What a modules.yaml may have at the most, unpacked, in bytes: all of it, of which
// Enterprise Linux 8 has 5 MB, and one document, which there has less than a
// hundredth of that. The decoder makes a tree of a document, of 120 times its size.
const (
	maxModules        = 16 << 20
	maxModuleDocument = 1 << 20
)

// Modules is what a modules.yaml says.
type Modules struct {
	Builds []ModuleBuild // in the order of the file
	// Defaults has, by the module's name, the stream that a machine has which has
	// chosen none.
	Defaults map[string]string
	// Skipped is how many documents were left out because something was wrong with
	// them, and Refused says of the first few why.
	Skipped int
	Refused []error
}

// ModuleBuild is one build of a module's stream: packages that belong together,
// whatever versions others have.
type ModuleBuild struct {
	Name, Stream string // "nodejs", "18"
	Version      uint64 // a later build of a stream has a larger one
	Context      string // builds of one version for several bases differ in it
	Arch         string
	Packages     []NEVRA // the artifacts, source packages too
}

type yamlModule struct {
	Document string `yaml:"document"`
	Data     struct {
		Name      string `yaml:"name"`   // modulemd
		Module    string `yaml:"module"` // modulemd-defaults
		Stream    string `yaml:"stream"`
		Version   uint64 `yaml:"version"`
		Context   string `yaml:"context"`
		Arch      string `yaml:"arch"`
		Artifacts struct {
			RPMs []string `yaml:"rpms"`
		} `yaml:"artifacts"`
	} `yaml:"data"`
}

// ReadModules reads a modules.yaml, unpacked, of at most 16 MiB, of documents of at
// most 1 MiB. Documents of other kinds are passed over, and one that has not what its kind has is left
// out. An error says that it is no YAML, or comes from r.
func ReadModules(r io.Reader) (*Modules, error) {
	limited := &io.LimitedReader{R: r, N: maxModules + 1}
	each := &documents{r: limited}
	d := yaml.NewDecoder(each)
	m := &Modules{Defaults: map[string]string{}}
	for {
		var doc yamlModule
		err := d.Decode(&doc)
		if limited.N <= 0 {
			return nil, fmt.Errorf("modules.yaml: more than %d MiB", maxModules>>20)
		}
		if each.size > maxModuleDocument {
			return nil, fmt.Errorf("modules.yaml: a document of more than %d MiB", maxModuleDocument>>20)
		}
		var mistyped *yaml.TypeError
		switch {
		case err == io.EOF:
			return m, nil
		case errors.As(err, &mistyped):
			m.refuse(&doc, err)
			continue
		case err != nil:
			return nil, fmt.Errorf("modules.yaml: %w", err)
		}
		m.add(&doc)
	}
}

// documents reads a stream of YAML documents, and no further where one of them has
// more than maxModuleDocument bytes.
type documents struct {
	r      io.Reader
	size   int  // of the document, up to here
	dashes int  // at the beginning of the line
	inLine bool // behind something else
}

func (d *documents) Read(p []byte) (int, error) {
	if d.size > maxModuleDocument {
		return 0, errors.New("the document is too large")
	}
	n, err := d.r.Read(p)
	for _, c := range p[:n] {
		d.size++
		switch {
		case c == '\n':
			d.dashes, d.inLine = 0, false
		case c != '-' || d.inLine:
			d.inLine = true
		default:
			// Three of them begin a document, whatever the one before has left open.
			if d.dashes++; d.dashes == 3 {
				d.size = 0
			}
		}
		if d.size > maxModuleDocument {
			return n, errors.New("the document is too large")
		}
	}
	return n, err
}

// add takes over one document.
func (m *Modules) add(doc *yamlModule) {
	x := &doc.Data
	switch doc.Document {
	case "modulemd":
		if x.Name == "" || x.Stream == "" {
			m.refuse(doc, errors.New("no name or no stream"))
			return
		}
		b := ModuleBuild{Name: x.Name, Stream: x.Stream, Version: x.Version, Context: x.Context, Arch: x.Arch}
		for _, a := range x.Artifacts.RPMs {
			// They are written as the packages' files are named, with the epoch.
			n, ok := ParseFilename(a + ".rpm")
			if !ok {
				m.refuse(doc, fmt.Errorf("artifact %.200q is no name-epoch:version-release.arch", a))
				return
			}
			b.Packages = append(b.Packages, n)
		}
		m.Builds = append(m.Builds, b)
	case "modulemd-defaults":
		// Some only say which profiles a stream has.
		if x.Module != "" && x.Stream != "" {
			m.Defaults[x.Module] = x.Stream
		}
	}
}

func (m *Modules) refuse(doc *yamlModule, err error) {
	if m.Skipped++; len(m.Refused) < keptReasons {
		m.Refused = append(m.Refused, fmt.Errorf("modules.yaml: %.50q %.100q: %w", doc.Document, doc.Data.Name, err))
	}
}
