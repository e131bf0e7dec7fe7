package repodata

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"intelligentmirror/internal/testrepo"
)

const (
	head = `<?xml version="1.0" encoding="UTF-8"?>
<metadata xmlns="http://linux.duke.edu/metadata/common" xmlns:rpm="http://linux.duke.edu/metadata/rpm" packages="1">
`
	foot = "</metadata>\n"
)

// minimal is the package foo-1-2.noarch with more elements in it.
func minimal(more string) string {
	return `<package type="rpm"><name>foo</name><arch>noarch</arch><version epoch="0" ver="1" rel="2"/>` +
		`<checksum type="sha256" pkgid="YES">ab12</checksum><size package="9"/><location href="foo-1-2.noarch.rpm"/>` +
		more + "</package>\n"
}

func foo() *Package {
	return &Package{Name: "foo", Arch: "noarch", EVR: EVR{0, "1", "2"}, Checksum: Checksum{"sha256", "ab12"},
		Size: 9, Location: "foo-1-2.noarch.rpm"}
}

func TestScanPrimary(t *testing.T) {
	full := `<package type="rpm">
  <name>vlc</name>
  <arch>x86_64</arch>
  <version epoch="1" ver="3.0.21" rel="4.fc41"/>
  <checksum type="SHA256" pkgid="YES"> 6A915B6E </checksum>
  <summary>A &quot;player&quot; &#60;of&#x3e; things</summary>
  <description>caf&#233; ]] &gt;</description>
  <packager/><url>http://example.org/?a=1&amp;b=2</url>
  <time file="1545662790" build="1401183433"/>
  <size package="189964" installed="450597" archive="461716"/>
  <location href="Packages/v/vlc-3.0.21-4.fc41.x86_64.rpm"/>
  <format>
    <rpm:license>GPLv2+</rpm:license>
    <rpm:sourcerpm>vlc-3.0.21-4.fc41.src.rpm</rpm:sourcerpm>
    <rpm:header-range start="1384" end="32992"/>
    <rpm:provides>
      <rpm:entry name="vlc" flags="EQ" epoch="1" ver="3.0.21" rel="4.fc41"/>
      <rpm:entry name='libvlc.so.5()(64bit)'/>
    </rpm:provides>
    <rpm:requires>
      <rpm:entry name="/bin/sh" pre="1"/>
      <rpm:entry name="vlc-core" flags="GE" ver="3.0"/>
      <rpm:entry name="(a or b &lt; 2)"/>
    </rpm:requires>
    <rpm:conflicts><rpm:entry name="c" flags="LT" epoch="0" ver="1"/></rpm:conflicts>
    <rpm:obsoletes><rpm:entry name="o" flags="LE" epoch="0" ver="1" rel="1"/></rpm:obsoletes>
    <rpm:recommends><rpm:entry name="weak"/></rpm:recommends>
    <file>/usr/bin/vlc</file>
    <file type="dir">/usr/lib/vlc &amp; co</file>
    <file type="ghost">/etc/vlc.conf</file>
  </format>
</package>
`
	want := &Package{
		Name: "vlc", Arch: "x86_64", EVR: EVR{1, "3.0.21", "4.fc41"}, Checksum: Checksum{"sha256", "6a915b6e"},
		Size: 189964, Location: "Packages/v/vlc-3.0.21-4.fc41.x86_64.rpm", SourceRPM: "vlc-3.0.21-4.fc41.src.rpm", BuildTime: 1401183433,
		Provides: []Dep{{Name: "vlc", Flags: "EQ", EVR: EVR{1, "3.0.21", "4.fc41"}}, {Name: "libvlc.so.5()(64bit)"}},
		Requires: []Dep{{Name: "/bin/sh", Pre: true}, {Name: "vlc-core", Flags: "GE", EVR: EVR{Version: "3.0"}},
			{Name: "(a or b < 2)"}},
		Conflicts: []Dep{{Name: "c", Flags: "LT", EVR: EVR{Version: "1"}}},
		Obsoletes: []Dep{{Name: "o", Flags: "LE", EVR: EVR{Version: "1", Release: "1"}}},
		Files:     []string{"/usr/bin/vlc", "/usr/lib/vlc & co", "/etc/vlc.conf"},
	}
	cases := map[string]struct {
		in   string
		want []*Package
	}{
		"all fields":              {head + full + foot, []*Package{want}},
		"two, in order":           {head + full + minimal("") + foot, []*Package{want, foo()}},
		"nothing kept from first": {head + full + minimal("<format/>") + foot, []*Package{want, foo()}},
		"no package":              {head + foot, nil},
		"root that ends itself":   {`<metadata packages="0"/>`, nil},
		"byte order mark":         {"\ufeff" + head + minimal("") + foot, []*Package{foo()}},
		"other prefixes": {strings.NewReplacer("rpm:", "r:", "<package", "<c:package", "</package", "</c:package").
			Replace(head + full + foot), []*Package{want}},
		"no prefixes":       {strings.ReplaceAll(head+full+foot, "rpm:", ""), []*Package{want}},
		"single quotes":     {strings.ReplaceAll(head+full+foot, `"`, `'`), []*Package{want}},
		"windows line ends": {strings.ReplaceAll(head+full+foot, "\n", "\r\n"), []*Package{want}},
		"text in pieces": {head + strings.Replace(minimal(""), ">foo<", "><!-- a -->f<![CDATA[o]]><x>no</x><?pi?>o<", 1) + foot,
			[]*Package{foo()}},
		"unknown elements": {head + minimal(`<suse:x><name>no</name><format><file>no</file></format></suse:x>`) + foot, []*Package{foo()}},
		"names in the wrong place": {head + `<name>no</name>` + minimal(`<requires><entry name="no"/></requires><file>no</file>`) + foot,
			[]*Package{foo()}},
		"cdata is not decoded": {head + strings.Replace(minimal(""), ">foo<", "><![CDATA[<&amp;>]]><", 1) + foot,
			[]*Package{func() *Package { p := foo(); p.Name = "<&amp;>"; return p }()}},
		"dot before location": {head + strings.Replace(minimal(""), `href="`, `href="./`, 1) + foot, []*Package{foo()}},
		"comment behind root": {head + minimal("") + foot + "<!-- e --> <?pi?>\n", []*Package{foo()}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			for way, r := range map[string]io.Reader{"whole": strings.NewReader(c.in), "in bytes": iotest.OneByteReader(strings.NewReader(c.in))} {
				got, stats, err := scanAll(r)
				if err != nil {
					t.Fatal(err)
				}
				if stats.Packages != len(c.want) || stats.Skipped != 0 {
					t.Errorf("%s: stats %+v", way, stats)
				}
				if !reflect.DeepEqual(got, c.want) {
					t.Errorf("%s:\n got %+v\nwant %+v", way, got, c.want)
				}
			}
			agree(t, []byte(c.in))
		})
	}
}

func TestScanPrimarySkips(t *testing.T) {
	entry := func(attrs string) string {
		return "<format><requires><entry " + attrs + "/></requires></format>"
	}
	edit := func(old, new string) string {
		s := strings.Replace(minimal(""), old, new, 1)
		if s == minimal("") {
			panic("nothing edited: " + old)
		}
		return s
	}
	cases := map[string]struct{ pkg, why string }{
		"location above":     {edit("foo-1-2", "../foo-1-2"), "`..`"},
		"location absolute":  {edit("foo-1-2", "/etc/foo"), "absolute"},
		"location elsewhere": {edit("foo-1-2", "http://example.org/foo"), "scheme"},
		"location with base": {edit("href", `xml:base="http://example.org/" href`), "xml:base"},
		"base, other prefix": {edit("href", `x:base="ftp://example.org/" href`), "xml:base"},
		"location missing":   {edit(`<location href="foo-1-2.noarch.rpm"/>`, ""), "no location"},
		"name missing":       {edit("<name>foo</name>", ""), "no name"},
		"name empty":         {edit("<name>foo</name>", "<name> </name>"), "no name"},
		"arch missing":       {edit("<arch>noarch</arch>", ""), "no architecture"},
		"version missing":    {edit(`ver="1"`, ""), "no version"},
		"checksum missing":   {edit("ab12", ""), "checksum"},
		"checksum untyped":   {edit(`type="sha256" `, ""), "checksum"},
		"checksum no hex":    {edit("ab12", "xy"), "hexadecimal"},
		"size missing":       {edit(`<size package="9"/>`, ""), "no size"},
		"size negative":      {edit(`"9"`, `"-9"`), "size"},
		"size no number":     {edit(`"9"`, `"9kB"`), "size"},
		"epoch no number":    {edit(`epoch="0"`, `epoch="x"`), "epoch"},
		"epoch too large":    {edit(`epoch="0"`, `epoch="99999999999999999999"`), "epoch"},
		"entry without name": {minimal(entry(`flags="EQ"`)), "without a name"},
		"entry odd flags":    {minimal(entry(`name="x" flags="NE"`)), "flags"},
		"entry odd epoch":    {minimal(entry(`name="x" flags="EQ" epoch="-1"`)), "epoch"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			in := head + minimal("") + c.pkg + minimal("") + foot
			got, stats, err := scanAll(strings.NewReader(in))
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != 2 || stats.Packages != 2 || stats.Skipped != 1 {
				t.Fatalf("%d packages, %+v", len(got), stats)
			}
			if why := stats.Refused[0].Error(); !strings.Contains(why, c.why) {
				t.Errorf("refused with %q, want %q", why, c.why)
			}
			agree(t, []byte(in))
		})
	}
	t.Run("reasons are bounded", func(t *testing.T) {
		in := head + strings.Repeat(edit("ab12", ""), 100) + foot
		_, stats, err := scanAll(strings.NewReader(in))
		if err != nil || stats.Skipped != 100 || len(stats.Refused) != keptReasons {
			t.Fatal(stats.Skipped, len(stats.Refused), err)
		}
	})
}

// malformed is what no XML parser accepts, or what is refused besides.
var malformed = map[string]string{
	"empty":                  "",
	"white space":            " \n",
	"no XML":                 "hello",
	"html":                   "<html><body>Log in, please</body></html>",
	"doctype":                `<!DOCTYPE html><html></html>`,
	"entity bomb":            `<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><metadata>&b;</metadata>`,
	"doctype inside":         head + "<!DOCTYPE x>" + foot,
	"wrong root":             "<filelists/>",
	"cut in the root":        head,
	"cut in a package":       head + "<package><name>foo",
	"cut in a tag":           head + `<package type="rp`,
	"cut in a name":          head + "<pack",
	"cut in an end":          head + "</metadata",
	"cut in a comment":       head + foot + "<!-- ",
	"cut in a mark":          head + foot + "<",
	"cut in an instruction":  head + foot + "<?pi ",
	"cut in cdata":           head + "<![CDATA[ ]]",
	"unknown entity":         head + "&nbsp;" + foot,
	"bare ampersand":         head + "a & b" + foot,
	"ampersand at the end":   head + "&" + foot,
	"character 0":            head + "&#0;" + foot,
	"escape character":       head + "&#27;" + foot,
	"raw control character":  head + "\x1b" + foot,
	"character too large":    head + "&#x110000;" + foot,
	"code overflows":         head + "&#99999999999999999999999;" + foot,
	"upper-case X":           head + "&#X41;" + foot,
	"empty code":             head + "&#;" + foot,
	"signed code":            head + "&#+65;" + foot,
	"character FFFE":         head + "\ufffe" + foot,
	"invalid UTF-8":          head + "\xff" + foot,
	"cut UTF-8":              head + "\xe2\x82" + foot,
	"latin-1":                `<?xml version="1.0" encoding="ISO-8859-1"?><metadata/>`,
	"XML 1.1":                `<?xml version="1.1"?><metadata/>`,
	"odd declaration":        `<?xml version?><metadata/>`,
	"declaration unquoted":   `<?xml version=1.0?><metadata/>`,
	"declaration unclosed":   `<?xml version="1.0?><metadata/>`,
	"cdata end in text":      head + "]]>" + foot,
	"dashes in a comment":    head + "<!-- a -- b -->" + foot,
	"three dashes":           head + "<!-- a --->" + foot,
	"mismatched end":         head + "<package></metadata></package>",
	"mismatched prefix":      head + "<a:package></b:package>" + foot,
	"end too many":           head + foot + "</metadata>",
	"two roots":              head + foot + "<metadata/>",
	"two roots, ended":       "<metadata/><metadata></metadata>",
	"text behind":            head + foot + "x",
	"text before":            "x" + head + foot,
	"cdata behind":           head + foot + "<![CDATA[x]]>",
	"unquoted value":         head + "<package type=rpm/>" + foot,
	"attribute no value":     head + "<package type/>" + foot,
	"unclosed value":         head + `<package type="rpm/>` + foot,
	"lower than in a value":  head + `<package type="<"/>` + foot,
	"bad entity in a value":  head + `<package type="&x;"/>` + foot,
	"slash in a tag":         head + `<package / type="rpm"/>` + foot,
	"space before a name":    head + "< package/>" + foot,
	"digit begins a name":    head + "<1/>" + foot,
	"name not ASCII":         head + "<p\u00e4ckage/>" + foot,
	"two colons":             head + "<a:b:c/>" + foot,
	"end tag with attribute": head + "<package></package a='b'>" + foot,
	"too deep":               strings.Repeat("<metadata>", maxDepth+1) + strings.Repeat("</metadata>", maxDepth+1),
}

func TestScanPrimaryMalformed(t *testing.T) {
	for name, in := range malformed {
		t.Run(name, func(t *testing.T) {
			_, _, err := scanAll(strings.NewReader(in))
			if err == nil {
				t.Fatal("accepted")
			}
			if errors.Is(err, io.EOF) {
				t.Errorf("%v can be taken for a good end", err)
			}
			if wantDTD := strings.Contains(in, "<!DOCTYPE"); errors.Is(err, ErrDTD) != wantDTD {
				t.Errorf("error %v", err)
			}
			if strings.HasPrefix(name, "cut in") && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("error %v, want an unexpected end", err)
			}
			agree(t, []byte(in))
		})
	}
}

func TestScanPrimaryErrors(t *testing.T) {
	stop := errors.New("stop")
	in := head + minimal("") + minimal("") + foot
	t.Run("of the callback", func(t *testing.T) {
		stats, err := ScanPrimary(strings.NewReader(in), func(*Package) error { return stop })
		if err != stop || stats.Packages != 1 {
			t.Errorf("%+v, %v", stats, err)
		}
	})
	t.Run("of the reader", func(t *testing.T) {
		r := io.MultiReader(strings.NewReader(in[:len(in)-20]), iotest.ErrReader(stop))
		if _, err := ScanPrimary(r, func(*Package) error { return nil }); !errors.Is(err, stop) {
			t.Error(err)
		}
	})
	t.Run("of a reader that gives nothing", func(t *testing.T) {
		if _, err := ScanPrimary(nothing{}, func(*Package) error { return nil }); !errors.Is(err, io.ErrNoProgress) {
			t.Error(err)
		}
	})
	t.Run("says where", func(t *testing.T) {
		_, err := ScanPrimary(strings.NewReader("<metadata>&x;</metadata>"), func(*Package) error { return nil })
		if err == nil || !strings.Contains(err.Error(), "at byte 10") {
			t.Error(err)
		}
	})
}

// nothing is a reader that neither gives a byte nor ends.
type nothing struct{}

func (nothing) Read([]byte) (int, error) { return 0, nil }

func TestScanPrimaryBounds(t *testing.T) {
	ok := head + minimal("") + "%s" + minimal("") + foot
	scan := func(r io.Reader) (Stats, error) {
		return ScanPrimary(r, func(*Package) error { return nil })
	}
	a := strings.Repeat("a", 2*maxToken)
	for name, token := range map[string]string{
		"tag": "<" + a + "/>", "value": "<x a='" + a + "'/>", "text": "<x>" + a + "</x>",
		"comment": "<!--" + a + "-->", "cdata": "<![CDATA[" + a + "]]>", "instruction": "<?a " + a + "?>", "entity": "&" + a + ";",
	} {
		t.Run("long "+name, func(t *testing.T) {
			if _, err := scan(strings.NewReader(fmt.Sprintf(ok, token))); err == nil || !strings.Contains(err.Error(), "more than 1048576 bytes") {
				t.Errorf("%.300v", err)
			}
		})
	}
	t.Run("long but allowed", func(t *testing.T) {
		in := fmt.Sprintf(ok, "<x>"+a[:maxToken/2]+"</x>")
		if stats, err := scan(strings.NewReader(in)); err != nil || stats.Packages != 2 {
			t.Error(stats, err)
		}
	})
	t.Run("large package", func(t *testing.T) {
		many := strings.Repeat("<rpm:entry name='"+a[:1000]+"'/>", maxPackage/1000)
		in := fmt.Sprintf(ok, minimal("<format><rpm:provides>"+many+"</rpm:provides></format>"))
		stats, err := scan(strings.NewReader(in))
		if err != nil || stats.Packages != 2 || stats.Skipped != 1 {
			t.Error(stats, err)
		}
	})
	t.Run("large field", func(t *testing.T) {
		in := fmt.Sprintf(ok, strings.Replace(minimal(""), "foo<", strings.Repeat(a[:maxToken/2]+"<!-- -->", 40)+"<", 1))
		stats, err := scan(strings.NewReader(in))
		if err != nil || stats.Packages != 2 || stats.Skipped != 1 {
			t.Error(stats, err)
		}
	})
}

// TestStringsStayValid holds ScanPrimary to what it says of its Package.
func TestStringsStayValid(t *testing.T) {
	var names, deps []string
	data := syntheticPrimary(500)
	_, err := ScanPrimary(bytes.NewReader(data), func(p *Package) error {
		names = append(names, p.Location)
		deps = append(deps, p.Provides[0].Name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range names {
		if deps[i] != fmt.Sprintf("package%d-libs", i) || !strings.HasPrefix(names[i], "Packages/p/"+deps[i]+"-") {
			t.Fatalf("package %d: %q, %q", i, names[i], deps[i])
		}
	}
}

// realXML calls fn for all real metadata in XML, unpacked.
func realXML(t testing.TB, root string, fn func(path string, data []byte)) {
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.Contains(path, ".xml") || strings.HasSuffix(path, ".zck") {
			return err
		}
		data, err := readUnpacked(path)
		if err == nil && !bytes.HasPrefix(data, []byte("-----BEGIN")) { // a signature, a key
			fn(path, data)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestRealFiles compares the scanner with encoding/xml on all XML there is.
func TestRealFiles(t *testing.T) {
	primaries, packages := 0, 0
	realXML(t, testrepo.Shared(t, "repodata"), func(path string, data []byte) {
		agree(t, data)
		if !strings.Contains(filepath.Base(path), "primary.xml") || len(data) == 0 {
			return
		}
		pkgs, stats, err := scanAll(bytes.NewReader(data))
		if err != nil || stats.Skipped > 0 || !bytes.Contains(data, fmt.Appendf(nil, `packages="%d"`, len(pkgs))) {
			t.Errorf("%s: %d packages, %+v, %v", path, len(pkgs), stats, err)
		}
		for _, p := range pkgs {
			n, ok := ParseFilename(filepath.Base(p.Location))
			if !ok || n.Name != p.Name || n.Version != p.EVR.Version || n.Release != p.EVR.Release || p.SourceRPM != "" && n.Arch != p.Arch {
				t.Errorf("%s: %s is %+v, not %s %s %s", path, p.Location, n, p.Name, p.EVR, p.Arch)
			}
		}
		primaries, packages = primaries+1, packages+len(pkgs)
	})
	if primaries < 30 || packages < 400 {
		t.Errorf("only %d primaries with %d packages found", primaries, packages)
	}
}

func readUnpacked(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := Decompress(f, 1<<30)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return data, nil
}

func TestSyntheticAgrees(t *testing.T) {
	agree(t, syntheticPrimary(300))
}

func FuzzScanPrimary(f *testing.F) {
	for _, in := range malformed {
		f.Add([]byte(in))
	}
	f.Add([]byte(head + minimal("<format><rpm:requires><rpm:entry name='a' flags='GE' epoch='1' ver='2' rel='3' pre='1'/></rpm:requires><file type='dir'>/a</file></format>") + foot))
	f.Add([]byte("\ufeff" + head + minimal("&#xD800;&#13;\r\n\r<![CDATA[\r]]]]>&apos;") + foot))
	f.Add(syntheticPrimary(2))
	if root := testrepo.FindShared("repodata"); root != "" {
		realXML(f, root, func(_ string, data []byte) {
			// Beyond this size mutations find nothing in a minute.
			if len(data) < 8<<10 {
				f.Add(data)
			}
		})
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < maxToken/4 { // beyond that the bounds differ
			agree(t, data)
		}
	})
}

// What ScanFiles passes over may hold what looks like its end, and be longer than a buffer.
func TestScanFilesPassesOver(t *testing.T) {
	pkg := func(inside string) string {
		return `<package type="rpm"><name>a</name><arch>noarch</arch><version epoch="0" ver="1" rel="1"/>` +
			`<checksum type="sha256" pkgid="YES">` + strings.Repeat("0", 64) + `</checksum><size package="1"/><location href="a-1-1.noarch.rpm"/>` +
			`<format>` + inside + `</format></package>`
	}
	for _, c := range []struct{ name, inside, err string }{
		{"nothing", "", ""},
		{"elements", `<rpm:provides><rpm:entry name="a"/></rpm:provides>`, ""},
		{"a longer name", "<formats></formats><formatted>x</formatted >", ""},
		{"a comment", "<!-- </format> -->", ""},
		{"a CDATA section", "<x><![CDATA[</format>]]></x>", ""},
		{"its own kind in it", "<x><x></x></x><format/><format a='>'><format><format /></format></format >", ""},
		{"an instruction", "<x><?a </x> ?></x>", ""},
		{"more than a buffer", "<x>" + strings.Repeat("word ", 100_000) + "</x>", ""},
		{"a buffer's end in the tag", strings.Repeat(" ", scanBuffer), ""},
		{"a bad comment", "<!-- -- -->", "comment"},
		{"a declaration", "<!ENTITY a 'b'>", ErrDTD.Error()},
	} {
		t.Run(c.name, func(t *testing.T) {
			for cut := range 40 {
				n := 0
				text := `<metadata xmlns:rpm="r">` + strings.Repeat(" ", cut) + pkg(c.inside) + pkg(c.inside) + "</metadata>"
				_, err := ScanFiles(strings.NewReader(text), func(p *Package) error { n++; return nil })
				if c.err != "" {
					if err == nil || !strings.Contains(err.Error(), c.err) {
						t.Fatalf("%v, want %q", err, c.err)
					}
					continue
				}
				if err != nil || n != 2 {
					t.Fatalf("%d packages of 2, %v", n, err)
				}
			}
		})
	}
	text := `<metadata xmlns:rpm="r">` + pkg("<x></x>")
	for n := range len(text) {
		if _, err := ScanFiles(strings.NewReader(text[:n]), func(*Package) error { return nil }); err == nil {
			t.Fatalf("cut at byte %d it is whole", n)
		}
	}
}
