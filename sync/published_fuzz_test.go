package sync

import (
	"bytes"
	"testing"

	"intelligentmirror/internal/config"
)

// FuzzReadPublished holds that a list of what was published is read, in order, or refused.
func FuzzReadPublished(f *testing.F) {
	cfg, err := config.Load(config.Options{UID: 0, Path: "none", ReadFile: func(string) ([]byte, error) { return nil, nil }})
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{
		"# a heading\n\n2024-11-21T09:12:44Z\t/fedora/updates/41/Everything/x86_64/Packages/v/vlc-1-1.x86_64.rpm\t7\tvlc\tmplayer,totem\r\n",
		"2024-11-21T09:12:44Z\thttp://dl.fedoraproject.org/pub/fedora/linux/a/../b%2f.rpm\t0\n0001-01-01T00:00:00Z\tfedora//x.rpm\t9223372036854775807",
		"9999-12-31T23:59:59+14:00\t/fedora/\x00.rpm\t-1\t\t,\n", "\t\t\n", "x",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := ReadPublished(bytes.NewReader(text), cfg)
		if err != nil {
			return
		}
		v := newVersions(nil, nil)
		for i, p := range all {
			if p.Size < 0 || p.Path == "" || i > 0 && p.At.Before(all[i-1].At) {
				t.Fatalf("%+v", all)
			}
			v.publish(p)
		}
	})
}
