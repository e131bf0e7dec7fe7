package repodata

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"intelligentmirror/internal/testrepo"

	"github.com/google/go-cmp/cmp"
)

// advisories is ScanUpdateinfo into a slice.
func advisories(data string) (all []Advisory, stats Stats, err error) {
	stats, err = ScanUpdateinfo(strings.NewReader(data), func(a *Advisory) error {
		c := *a
		c.Packages = exact(a.Packages)
		all = append(all, c)
		return nil
	})
	return all, stats, err
}

const oneUpdate = `<?xml version="1.0" encoding="UTF-8"?>
<updates>
 <update from="x@example.org" status="stable" type="security" version="2.0">
  <id>FEDORA-2026-1</id><title>id</title><severity>Important</severity>
  <references><reference id="1" type="bugzilla"/></references>
  <pkglist><collection short="F41"><name>Fedora 41</name>
   <package name="vlc" version="3.0.21" release="4.fc41" epoch="1" arch="x86_64" src="vlc.src.rpm"><filename>vlc.rpm</filename><sum type="sha256">00</sum></package>
   <package name="vlc-libs" version="3.0.21" release="4.fc41" arch="x86_64"/>
  </collection></pkglist>
 </update>
 <update type="bugfix"><id> second </id><package name="astray" version="1" release="1" arch="noarch"/></update>
</updates>`

func TestUpdateinfo(t *testing.T) {
	got, stats, err := advisories(oneUpdate)
	if err != nil || stats.Packages != 2 || stats.Skipped != 0 {
		t.Fatalf("%+v, %v", stats, err)
	}
	want := []Advisory{{
		ID: "FEDORA-2026-1", Type: "security", Severity: "Important", Packages: []NEVRA{
			{"vlc", EVR{1, "3.0.21", "4.fc41"}, "x86_64"},
			{"vlc-libs", EVR{0, "3.0.21", "4.fc41"}, "x86_64"},
		},
	}, {ID: "second", Type: "bugfix"}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if !got[0].Security() || got[1].Security() {
		t.Error("which of them is a security update")
	}
}

func TestUpdateinfoRefuses(t *testing.T) {
	pkg := func(attrs string) string {
		return `<updates><update type="security"><id>A</id><pkglist><collection><package ` + attrs + `/></collection></pkglist></update><update><id>B</id></update></updates>`
	}
	for _, c := range []struct {
		name, in string
		skipped  int
		err      string // part of the error of the whole; "" if only advisories are skipped
	}{
		{"no id", `<updates><update/><update><id>B</id></update></updates>`, 1, ""},
		{"no name", pkg(`version="1" arch="noarch"`), 1, ""},
		{"no version", pkg(`name="a" arch="noarch"`), 1, ""},
		{"no architecture", pkg(`name="a" version="1"`), 1, ""},
		{"an epoch of letters", pkg(`name="a" version="1" arch="noarch" epoch="one"`), 1, ""},
		{"a huge one", `<updates><update><id>A</id>` + strings.Repeat(`<severity>`+strings.Repeat("a", 1<<19)+`</severity>`, 9) + `</update><update><id>B</id></update></updates>`, 1, ""},
		{"another document", `<metadata/>`, 0, "not <updates>"},
		{"cut short", `<updates><update>`, 0, "EOF"},
		{"a page", `<!DOCTYPE html><html/>`, 0, "document type"},
	} {
		t.Run(c.name, func(t *testing.T) {
			all, stats, err := advisories(c.in)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("error %v, want %q in it", err, c.err)
				}
				return
			}
			if err != nil || stats.Skipped != c.skipped || len(stats.Refused) != c.skipped || len(all) != 1 || all[0].ID != "B" {
				t.Errorf("%+v, %+v, %v", all, stats, err)
			}
		})
	}
}

// TestUpdateinfoEnds: an error of the caller's ends the scan, as it is.
func TestUpdateinfoEnds(t *testing.T) {
	enough := errors.New("enough")
	n := 0
	if _, err := ScanUpdateinfo(strings.NewReader(oneUpdate), func(*Advisory) error { n++; return enough }); err != enough || n != 1 {
		t.Errorf("%d calls, %v", n, err)
	}
}

// TestRealUpdateinfo reads the updateinfo of real repositories.
func TestRealUpdateinfo(t *testing.T) {
	files, security, packages := 0, 0, 0
	realXML(t, testrepo.Shared(t, "repodata"), func(path string, data []byte) {
		if !bytes.Contains(data, []byte("<updates>")) {
			return
		}
		files++
		sameAdvisories(t, data)
		all, stats, err := advisories(string(data))
		if err != nil || stats.Skipped > 0 {
			t.Errorf("%s: %+v, %v", path, stats, err)
		}
		for _, a := range all {
			packages += len(a.Packages)
			if a.Security() {
				security++
			}
		}
	})
	if files < 2 || security < 2 || packages == 0 {
		t.Errorf("%d files with %d security advisories and %d packages", files, security, packages)
	}
	rocky, err := os.ReadFile(filepath.Join(testrepo.Shared(t, "repodata"), "rocky", "updateinfo__test__1.xml"))
	if err != nil {
		t.Fatal(err)
	}
	all, _, err := advisories(string(rocky))
	if err != nil || len(all) == 0 || all[0].ID != "RLSA-2022:1821" || all[0].Severity != "Moderate" {
		t.Errorf("Rocky's: %+v, %v", all, err)
	}
}

// referenceAdvisories reads an updateinfo.xml that is known to be well-formed
// with encoding/xml, the slow and obvious way.
func referenceAdvisories(data []byte) (ids []string, skipped int, err error) {
	root, err := parseTree(data)
	if err != nil {
		return nil, 0, err
	}
	if len(root.children) != 1 || root.children[0].name != "updates" {
		return nil, 0, errors.New("root")
	}
	for _, u := range root.children[0].all("update") {
		a := Advisory{Type: u.attrs["type"]}
		bad := false
		for _, c := range u.all("id") {
			a.ID = strings.TrimSpace(c.text)
		}
		for _, c := range u.all("severity") {
			a.Severity = strings.TrimSpace(c.text)
		}
		for _, p := range u.all("pkglist", "collection", "package") {
			e, perr := strconv.ParseUint(p.attrs["epoch"], 10, 31)
			bad = bad || p.attrs["epoch"] != "" && perr != nil
			n := NEVRA{p.attrs["name"], EVR{int(e), p.attrs["version"], p.attrs["release"]}, p.attrs["arch"]}
			bad = bad || n.Name == "" || n.Version == "" || n.Arch == ""
			a.Packages = append(a.Packages, n)
		}
		if bad || a.ID == "" {
			skipped++
			continue
		}
		ids = append(ids, fmt.Sprintf("%+v", a))
	}
	return ids, skipped, nil
}

// sameAdvisories holds the scanner to the reference for one document.
func sameAdvisories(t *testing.T, data []byte) {
	t.Helper()
	got, stats, err := advisories(string(data))
	if _, wellFormed := scannerSteps(bytes.NewReader(data)); wellFormed != nil {
		if err == nil {
			t.Fatalf("read, though it is not well-formed: %v", wellFormed)
		}
		return
	}
	want, skipped, rerr := referenceAdvisories(data)
	if (err == nil) != (rerr == nil) {
		t.Fatalf("scanner says %v, encoding/xml %v", err, rerr)
	}
	if err != nil {
		return
	}
	var have []string
	for _, a := range got {
		have = append(have, fmt.Sprintf("%+v", a))
	}
	if d := cmp.Diff(want, have); d != "" || skipped != stats.Skipped {
		t.Fatalf("%d skipped, want %d (-want +got):\n%s", stats.Skipped, skipped, d)
	}
}

func FuzzScanUpdateinfo(f *testing.F) {
	f.Add([]byte(oneUpdate))
	f.Add([]byte(`<updates><update type="a&amp;b"><id>a</id><id><![CDATA[b]]></id><pkglist><collection><package name="a" version="1" arch="x" epoch="4294967296"/></collection></pkglist></update></updates>`))
	f.Add([]byte(`<x:updates><x:update><x:id>1<id>2</id>3</x:id></x:update></x:updates>`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < maxToken/4 { // beyond that the bounds differ
			sameAdvisories(t, data)
		}
	})
}
