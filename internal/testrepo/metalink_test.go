package testrepo

import (
	"encoding/xml"
	"testing"
	"time"
)

// TestMetalink: the document says of the files what they are.
func TestMetalink(t *testing.T) {
	m := Metalink{
		Current: []byte("new"), Alternates: [][]byte{[]byte("old")}, Time: time.Unix(1_700_000_000, 0),
		Mirrors: []string{"https://a.test/x?a&b", "rsync://b.test/x"},
	}
	type version struct {
		Size int64 `xml:"size"`
		Hash []struct {
			Type string `xml:"type,attr"`
			Sum  string `xml:",chardata"`
		} `xml:"verification>hash"`
	}
	var doc struct {
		File struct {
			Name string `xml:"name,attr"`
			version
			Alternates []version `xml:"alternates>alternate"`
			URLs       []struct {
				Protocol   string `xml:"protocol,attr"`
				Preference int    `xml:"preference,attr"`
				URL        string `xml:",chardata"`
			} `xml:"resources>url"`
		} `xml:"files>file"`
	}
	if err := xml.Unmarshal(m.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	f := doc.File
	if f.Name != "repomd.xml" || f.Size != 3 || len(f.Hash) != 3 || f.Hash[1].Type != "sha256" || f.Hash[1].Sum != hexSum(m.Current) {
		t.Errorf("%+v", f)
	}
	if len(f.Alternates) != 1 || f.Alternates[0].Hash[1].Sum != hexSum(m.Alternates[0]) {
		t.Errorf("alternates %+v", f.Alternates)
	}
	if len(f.URLs) != 2 || f.URLs[0].URL != "https://a.test/x?a&b/repodata/repomd.xml" || f.URLs[1].Protocol != "rsync" || f.URLs[0].Preference <= f.URLs[1].Preference {
		t.Errorf("addresses %+v", f.URLs)
	}
}
