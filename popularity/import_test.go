package popularity

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// plain is counts without their compression.
func plain(t testing.TB, counts []byte) string {
	t.Helper()
	var b strings.Builder
	if err := eachLine(bytes.NewReader(counts), func(text []byte) error {
		b.Write(append(text, '\n'))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// pack compresses counts.
func pack(t testing.TB, text string) []byte { t.Helper(); return []byte(gzipped(t, text)) }

// seal is counts whose lines but the last are text, as one who has the secret would
// write them.
func seal(t testing.TB, text string) []byte {
	t.Helper()
	h := newGroup([]byte(secret)).seal()
	h.Write([]byte(text))
	return pack(t, text+`{"end":"`+hex.EncodeToString(h.Sum(nil))+"\"}\n")
}

// unsealed is the lines of counts but the last.
func unsealed(text string) string { return text[:strings.LastIndex(text, `{"end":`)] }

// TestImportRefuses holds that what is not whole, not the group's or not counts at
// all is refused with its reason, and changes nothing.
func TestImportRefuses(t *testing.T) {
	clock := now
	a, b := newMember(t, &clock, secret), newMember(t, &clock, secret)
	a.reads(traffic(51, 200)...)
	b.reads(traffic(52, 200)...)
	good := a.counts()
	text := plain(t, good)
	body := unsealed(text)
	with := func(old, new string) string {
		t.Helper()
		if !strings.Contains(text, old) {
			t.Fatalf("%q is not in the counts", old)
		}
		return strings.Replace(text, old, new, 1)
	}
	want := ranks(t, b.store)
	for _, c := range []struct {
		name   string
		counts []byte
		says   string
	}{
		{"nothing", nil, "EOF"},
		{"no counts", pack(t, "{}\n"), "do not begin like counts"},
		{"a web page", []byte("<html>"), "unexpected EOF"},
		{"cut in the middle", good[:len(good)/2], "unexpected EOF"},
		{"cut between lines", pack(t, body), "end before their end"},
		{"another root", pack(t, with(`"root":"fedora/`, `"root":"gentoo/`)), "changed on their way"},
		{"no seal", pack(t, body+`{"end":""}`+"\n"), "changed on their way"},
		{"an end of another kind", pack(t, body+`{"end":7}`+"\n"), "cannot unmarshal"},
		{"an end that is none", pack(t, body+`{"end":null}`+"\n"), "changed on their way"},
		{"more behind", pack(t, text+"{}\n"), "go on behind their end"},
		{"another version", pack(t, with(`"version":1`, `"version":2`)), "upgrade"},
		{"another group", newMemberCounts(t, "another"), "another group's secret"},
		{"a line without an end", pack(t, body+`{"dir":"`+strings.Repeat("x", maxCount)), "too long"},
		{"no JSON", seal(t, body+"{\n"), "unexpected end"},
		{"a path with dots", seal(t, body+`{"dir":"a/../b"}`+"\n"), "no directory"},
		{"a file's name with a slash", seal(t, body+`{"path":{"dir":0,"base":"../x-1-1.noarch.rpm"}}`+"\n"), "no path"},
		{"no package", seal(t, body+`{"path":{"dir":0,"base":"x"}}`+"\n"), "no package's file name"},
		{"a directory that is not there", seal(t, body+`{"path":{"dir":999,"base":"x-1-1.noarch.rpm"}}`+"\n"), "no path"},
		{"an absurd day", seal(t, body+`{"open":1}`+"\n"), "absurd day"},
		{"a day to come", seal(t, body+`{"closed":99999}`+"\n"), "absurd day"},
		{"a path that is not there", seal(t, body+`{"client":{"hash":1,"asked":"/38BAQE="}}`+"\n"), "a client's request"},
		{"half a request", seal(t, body+`{"client":{"hash":1,"asked":"AQ=="}}`+"\n"), "end too early"},
		{"half a hash", seal(t, body+`{"client":{"hash":1,"missing":"AQ=="}}`+"\n"), "end too early"},
		{"a name that is not there", seal(t, body+`{"closed":20000}`+"\n"+`{"number":{"name":0}}`+"\n"), "no name's number"},
		{"less than nothing", seal(t, body+`{"name":{"name":"x","arch":"noarch","dir":0}}`+"\n"+`{"closed":20000}`+"\n"+`{"number":{"name":0,"clients":-1}}`+"\n"), "numbers"},
		{"no root", seal(t, body+`{"root":{"root":"/"}}`+"\n"), "no root"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := b.store.Import(t.Context(), bytes.NewReader(c.counts))
			if !errors.Is(err, ErrCounts) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %q", err, c.says)
			}
			if diff := cmp.Diff(want, ranks(t, b.store)); diff != "" {
				t.Error(diff)
			}
		})
	}
	if n := count(t, b.store, "members"); n != 0 {
		t.Errorf("%d members", n)
	}
	b.takes(seal(t, body)) // nothing but what was spoilt was in the way

	alone := newMember(t, &clock, "")
	if _, err := alone.store.Import(t.Context(), bytes.NewReader(good)); !errors.Is(err, ErrNoGroup) {
		t.Errorf("alone: %v", err)
	}
	if err := alone.store.Export(t.Context(), new(bytes.Buffer)); !errors.Is(err, ErrNoGroup) {
		t.Errorf("alone: %v", err)
	}
}

func newMemberCounts(t testing.TB, secret string) []byte {
	clock := now
	return newMember(t, &clock, secret).counts()
}

// FuzzImport holds that whatever stands in counts that are sealed, they are taken in
// or refused as a whole, and the database can be ranked after it.
func FuzzImport(f *testing.F) {
	clock := now
	a := newMember(f, &clock, secret)
	a.reads(groupTraffic(61, 30)...)
	f.Add(unsealed(plain(f, a.counts())))
	clock = now.AddDate(0, 0, 40)
	ingest1(f, a.store, a.dir+"/log")
	clock = now
	f.Add(unsealed(plain(f, a.counts())))
	b := newMember(f, &clock, secret)
	f.Fuzz(func(t *testing.T, text string) {
		before := ranks(t, b.store)
		_, err := b.store.Import(t.Context(), bytes.NewReader(seal(t, text)))
		after := ranks(t, b.store)
		if err != nil && !cmp.Equal(before, after) {
			t.Errorf("refused (%v), and yet taken in", err)
		}
	})
}
