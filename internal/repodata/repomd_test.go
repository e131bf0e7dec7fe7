package repodata

import (
	"errors"
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

const repomdHead = `<?xml version="1.0" encoding="UTF-8"?>
<repomd xmlns="http://linux.duke.edu/metadata/repo" xmlns:rpm="http://linux.duke.edu/metadata/rpm">
`

func record(typ, location string) string {
	return `<data type="` + typ + `"><checksum type="sha256">AB12</checksum><location ` + location + `/></data>`
}

func TestParseRepomd(t *testing.T) {
	in := repomdHead + `  <revision> 1533242352 </revision>
  <tags><distro>x</distro></tags>
  <data type="filelists">
    <checksum type="sha">ffee</checksum>
    <open-checksum type="sha256">0011</open-checksum>
    <location href="repodata/filelists.xml.gz"/>
    <timestamp>1334667230.02</timestamp>
    <size>123</size>
    <open-size>456</open-size>
    <database_version>10</database_version>
  </data>
  <!-- a comment --><data type="primary"><checksum type="SHA256"><![CDATA[ab]]>&#x63;d</checksum><location href='repodata/primary.xml.zst'/></data>
  <data type="primary"><checksum type="sha256">ee</checksum><location href="repodata/second"/></data>
</repomd>
`
	want := &Repomd{Revision: "1533242352", Data: []Data{
		{Type: "filelists", Location: "repodata/filelists.xml.gz", Checksum: Checksum{"sha", "ffee"},
			OpenChecksum: Checksum{"sha256", "0011"}, Size: 123, OpenSize: 456, Timestamp: 1334667230},
		{Type: "primary", Location: "repodata/primary.xml.zst", Checksum: Checksum{"sha256", "abcd"}},
		{Type: "primary", Location: "repodata/second", Checksum: Checksum{"sha256", "ee"}},
	}}
	for name, in := range map[string]string{"": in, "with a byte order mark": "\ufeff" + in} {
		got, err := ParseRepomd(iotest.HalfReader(strings.NewReader(in)))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v\nwant %+v", name, got, err, want)
		}
	}
	if d, ok := want.Find("primary"); !ok || d.Location != "repodata/primary.xml.zst" {
		t.Errorf("found %+v, %v", d, ok)
	}
	if d, ok := want.Find("other"); ok {
		t.Errorf("found %+v", d)
	}
}

func TestParseRepomdRefuses(t *testing.T) {
	good := record("primary", `href="repodata/p"`)
	cases := map[string]struct{ record, why string }{
		"above":         {record("x", `href="../p"`), "`..`"},
		"absolute":      {record("x", `href="/p"`), "absolute"},
		"elsewhere":     {record("x", `href="https://example.org/p"`), "scheme"},
		"base":          {record("x", `xml:base="http://example.org/" href="p"`), "xml:base"},
		"no location":   {strings.Replace(good, `<location href="repodata/p"/>`, "", 1), "empty"},
		"no type":       {strings.Replace(good, `type="primary"`, "", 1), "no type"},
		"no checksum":   {strings.Replace(good, "AB12", "", 1), "checksum"},
		"no hex":        {strings.Replace(good, "AB12", "AB 12", 1), "hexadecimal"},
		"bad open":      {strings.Replace(good, "<location", "<open-checksum>x</open-checksum><location", 1), "open-checksum"},
		"negative size": {strings.Replace(good, "<location", "<size>-1</size><location", 1), "size"},
		"odd size":      {strings.Replace(good, "<location", "<open-size>1k</open-size><location", 1), "open-size"},
		"odd time":      {strings.Replace(good, "<location", "<timestamp>now</timestamp><location", 1), "timestamp"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m, err := ParseRepomd(strings.NewReader(repomdHead + good + c.record + good + "</repomd>"))
			if err != nil {
				t.Fatal(err)
			}
			if len(m.Data) != 2 || len(m.Refused) != 1 || !strings.Contains(m.Refused[0].Error(), c.why) {
				t.Errorf("%+v, want it to be refused with %q", m, c.why)
			}
		})
	}
}

func TestParseRepomdMalformed(t *testing.T) {
	stop := errors.New("stop")
	cases := map[string]struct {
		in   io.Reader
		want error
	}{
		"empty":            {strings.NewReader(""), io.ErrUnexpectedEOF},
		"cut":              {strings.NewReader(repomdHead + "<data>"), nil},
		"html":             {strings.NewReader("<html></html>"), nil},
		"doctype":          {strings.NewReader("<!DOCTYPE html><html></html>"), ErrDTD},
		"doctype inside":   {strings.NewReader(repomdHead + "<data><!ENTITY a 'b'></data></repomd>"), ErrDTD},
		"doctype behind":   {strings.NewReader(repomdHead + "</repomd><!DOCTYPE x>"), ErrDTD},
		"unknown entity":   {strings.NewReader(repomdHead + "<revision>&a;</revision></repomd>"), nil},
		"two roots":        {strings.NewReader(repomdHead + "</repomd><repomd></repomd>"), nil},
		"text behind":      {strings.NewReader(repomdHead + "</repomd>x"), nil},
		"mismatched":       {strings.NewReader(repomdHead + "</metadata>"), nil},
		"too long":         {io.MultiReader(strings.NewReader(repomdHead), endless{}), nil},
		"error of reading": {io.MultiReader(strings.NewReader(repomdHead), iotest.ErrReader(stop)), stop},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m, err := ParseRepomd(c.in)
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("got %+v, %v, want the error %v", m, err, c.want)
			}
		})
	}
}

// endless is spaces without end.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// repomdFiles calls fn for all real repomd.xml.
func repomdFiles(t testing.TB, root string, fn func(path string, data []byte)) {
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.Contains(filepath.Base(path), "repomd") || filepath.Ext(path) != ".xml" && !strings.Contains(path, "with_updateinfo") {
			return err
		}
		data, err := os.ReadFile(path)
		if err == nil {
			fn(path, data)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestRealRepomd(t *testing.T) {
	root := testrepo.Shared(t, "repodata")
	n := 0
	repomdFiles(t, root, func(path string, data []byte) {
		m, err := ParseRepomd(strings.NewReader(string(data)))
		if err != nil {
			t.Errorf("%s: %v", path, err)
			return
		}
		if _, ok := m.Find("primary"); !ok || len(m.Refused) > 0 || len(m.Data) != strings.Count(string(data), "<data ") {
			t.Errorf("%s: %+v", path, m)
		}
		n++
	})
	if n < 30 {
		t.Errorf("only %d found", n)
	}
}

func FuzzParseRepomd(f *testing.F) {
	f.Add([]byte(repomdHead + record("primary", `href="repodata/p"`) + record("x", `xml:base="b" href="../p"`) + "</repomd>"))
	f.Add([]byte("<!DOCTYPE x><repomd/>"))
	for _, in := range malformed {
		f.Add([]byte(in))
	}
	if root := testrepo.FindShared("repodata"); root != "" {
		repomdFiles(f, root, func(_ string, data []byte) { f.Add(data) })
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ParseRepomd(strings.NewReader(string(data)))
		if err != nil {
			return
		}
		for _, d := range m.Data {
			if loc, err := CheckLocation(d.Location); loc != d.Location || err != nil {
				t.Errorf("%q, %v", d.Location, err)
			}
			if d.Type == "" || d.Size < 0 || d.OpenSize < 0 || d.Timestamp < 0 || d.Checksum.Hex == "" {
				t.Errorf("%+v", d)
			}
			if _, ok := m.Find(d.Type); !ok {
				t.Errorf("%q not found", d.Type)
			}
		}
	})
}
