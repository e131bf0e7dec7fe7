package repodata

import (
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// stanza is a package's, with one field replaced; "" leaves that out.
func stanza(field, value string) string {
	fields := [][2]string{
		{"Package", "vlc"}, {"Version", "1:3.0.21-1"}, {"Architecture", "amd64"},
		{"Filename", "pool/main/v/vlc/vlc_3.0.21-1_amd64.deb"}, {"Size", "12"}, {"SHA256", sumA},
	}
	var b strings.Builder
	b.WriteString("Description: a player\n of films\n .\n\t and music\n")
	for _, f := range fields {
		if f[0] == field {
			f[1] = value
		}
		if f[1] != "" {
			b.WriteString(f[0] + ": " + f[1] + "\n")
		}
	}
	return b.String() + "\n"
}

func scanPackages(text string) (list []DebPackage, stats Stats, err error) {
	stats, err = ScanPackages(strings.NewReader(text), func(p *DebPackage) error { list = append(list, *p); return nil })
	return list, stats, err
}

func TestScanPackages(t *testing.T) {
	vlc := DebPackage{
		Name: "vlc", Version: "1:3.0.21-1", Arch: "amd64", Filename: "pool/main/v/vlc/vlc_3.0.21-1_amd64.deb",
		Size: 12, Checksum: Checksum{"sha256", sumA},
	}
	flat, by512 := vlc, vlc
	flat.Filename = "vlc_1%3a3_amd64.deb"
	by512.Checksum = Checksum{"sha512", strings.ToLower(sumC)}
	for _, tt := range []struct {
		name, text string
		want       []DebPackage
	}{
		{"nothing", "", nil},
		{"blank lines", "\n\n", nil},
		{"one", stanza("", ""), []DebPackage{vlc}},
		{"two", stanza("", "") + "\n" + stanza("Filename", "./vlc_1%3a3_amd64.deb"), []DebPackage{vlc, flat}},
		{"no line behind it", strings.TrimRight(stanza("", ""), "\n"), []DebPackage{vlc}},
		{"with carriage returns", strings.ReplaceAll(stanza("", ""), "\n", "\r\n"), []DebPackage{vlc}},
		{"other spellings", strings.ReplaceAll(stanza("", ""), "SHA256: ", "Sha256:"), []DebPackage{vlc}},
		{"SHA-512 alone", strings.ReplaceAll(stanza("", ""), "SHA256: "+sumA, "SHA512: "+sumC), []DebPackage{by512}},
		{"both", "SHA512: " + sumC + "\n" + stanza("", ""), []DebPackage{vlc}},
		{"a long description", "Tag: " + strings.Repeat("x", 3*maxField) + "\n" + stanza("", ""), []DebPackage{vlc}},
	} {
		list, stats, err := scanPackages(tt.text)
		if err != nil || stats.Packages != len(tt.want) || stats.Skipped != 0 {
			t.Errorf("%s: %+v, %v", tt.name, stats, err)
		}
		if diff := cmp.Diff(tt.want, list); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}

// TestScanPackagesSkips: a package that can't be used is left out, and the others stay.
func TestScanPackagesSkips(t *testing.T) {
	for _, tt := range [][2]string{
		{"Package", ""}, {"Version", ""}, {"Architecture", ""}, {"Filename", ""}, {"Size", ""}, {"SHA256", ""},
		{"Size", "-1"}, {"Size", "many"}, {"SHA256", "abc"}, {"SHA256", sumA[1:] + "g"},
		{"Filename", "../x.deb"}, {"Filename", "/x.deb"}, {"Filename", "http://example.org/x.deb"}, {"Filename", "a/../../x.deb"},
		{"Filename", "a/%2e%2e/x.deb"}, {"Filename", "pool/"}, {"Filename", strings.Repeat("x", 2*maxField)},
		{"Size", "1\nSize: 2"},
	} {
		list, stats, err := scanPackages(stanza(tt[0], tt[1]) + stanza("", ""))
		if err != nil || len(list) != 1 || stats.Skipped != 1 || len(stats.Refused) != 1 {
			t.Errorf("%s %.50q: %d packages, %+v, %v", tt[0], tt[1], len(list), stats, err)
		}
	}
	md5 := strings.Replace(stanza("SHA256", ""), "Package:", "MD5sum: 0ed6d4c8891eb86358b94bb35d9e4da4\nPackage:", 1)
	if _, stats, err := scanPackages(md5); err != nil || stats.Skipped != 1 {
		t.Errorf("MD5 alone: %+v, %v", stats, err)
	}
}

func TestScanPackagesFails(t *testing.T) {
	for name, text := range map[string]string{
		"a page": "<html>\n", "no field": stanza("", "") + "hello\n", "a line that goes on": " x\n", "a name that is none": "a b: c\n",
	} {
		if _, _, err := scanPackages(text); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	mine := errors.New("mine")
	if _, err := ScanPackages(strings.NewReader(stanza("", "")+stanza("", "")), func(*DebPackage) error { return mine }); err != mine {
		t.Errorf("%v, want that of fn", err)
	}
}

// FuzzScanPackages: no package leads out of the archive or lacks what each has,
// and all stanzas are counted once.
func FuzzScanPackages(f *testing.F) {
	f.Add(stanza("", "") + stanza("Filename", "../x.deb"))
	f.Add(stanza("Size", "") + "\n \n\t.\n")
	f.Add("Tag: " + strings.Repeat("x", maxField) + "\n" + stanza("", ""))
	// Debian's own, where this is a Debian machine.
	names, err := filepath.Glob(debianLists + "/*debian*_Packages*")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range names {
		b, err := exec.Command("sh", "-c", `/usr/lib/apt/apt-helper cat-file "$1" | head -c 8000`, "sh", name).Output()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b))
	}
	f.Fuzz(func(t *testing.T, text string) {
		list, stats, _ := scanPackages(text)
		for _, p := range list {
			if loc, err := CheckLocation(p.Filename); err != nil || loc != p.Filename || p.Size < 0 || p.Name == "" || p.Checksum == (Checksum{}) {
				t.Errorf("%+v: %v", p, err)
			}
		}
		if stats.Packages != len(list) {
			t.Errorf("%d packages, %+v", len(list), stats)
		}
	})
}
