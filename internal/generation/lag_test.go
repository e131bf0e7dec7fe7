package generation_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/generation"
	"intelligentmirror/internal/testrepo"
	"intelligentmirror/internal/upstream"
)

// mirrored is a bench whose repository has mirrors that need not have the same,
// and may have a metalink.
type mirrored struct {
	*bench
	second *testrepo.Server
	trees  [2]string
	lists  *testrepo.Server
}

// newMirrored makes one whose mirrors have the first generation, which is current here.
func newMirrored(t *testing.T, metalink bool) *mirrored {
	t.Helper()
	b := newBench(t, testrepo.BuildOptions{}, spec("a", "1"))
	m := &mirrored{bench: b, trees: [2]string{b.files, t.TempDir()}, lists: testrepo.Start(t, t.TempDir())}
	m.second = testrepo.Start(t, m.trees[1])
	m.have(1, 0, "1")
	m.list(m.repomd(1))
	r := upstream.Repo{Name: "r", Upstreams: []string{b.up.URL, m.second.URL}, Vet: b.store}
	if metalink {
		r.Metalink = func(path string) (string, string, bool) {
			return b.root.Path, m.lists.URL + "/list", strings.HasPrefix(path, b.root.Path+"/")
		}
	}
	b.mirrors = patient(t, upstream.Options{Now: b.now}).Repo(r)
	b.flip(b.mustStage())
	return m
}

// have makes a mirror's generation one of that version of the package, and as
// old as that.
func (m *mirrored) have(mirror int, age time.Duration, version string) {
	m.Helper()
	err := testrepo.Build(filepath.Join(m.trees[mirror], "updates", "41"), []testrepo.Spec{spec("a", version)},
		testrepo.BuildOptions{Time: m.now().Add(-age)})
	if err != nil {
		m.Fatal(err)
	}
}

func (m *mirrored) repomd(mirror int) []byte {
	m.Helper()
	b, err := os.ReadFile(filepath.Join(m.trees[mirror], "updates/41/repodata/repomd.xml"))
	if err != nil {
		m.Fatal(err)
	}
	return b
}

// list makes the metalink one that names these.
func (m *mirrored) list(current []byte, alternates ...[]byte) {
	m.Helper()
	doc := testrepo.Metalink{Current: current, Alternates: alternates, Time: m.now()}
	if err := m.lists.Put("/list", doc.Bytes()); err != nil {
		m.Fatal(err)
	}
}

// look asks for the metadata in one of the two ways, and says which repomd.xml a
// client got, or is current here then.
func (m *mirrored) look(ahead bool) string {
	m.Helper()
	m.setNow(m.now().Add(2 * time.Minute))
	if !ahead {
		return string(m.get("repodata/repomd.xml"))
	}
	if s := m.mustStage(); s.Changed {
		m.flip(s)
	}
	b, err := os.ReadFile(filepath.Join(m.dir, "r/updates/41/repodata/repomd.xml"))
	if err != nil {
		m.Fatal(err)
	}
	return string(b)
}

// TestLag: a mirror that lags never takes us back, in either way to ask.
func TestLag(t *testing.T) {
	const day = 24 * time.Hour
	for _, tt := range []struct {
		name     string
		metalink bool
		then     func(m *mirrored) (want []byte)
	}{
		{"the first lags", false, func(m *mirrored) []byte {
			held := m.repomd(0)
			m.have(0, day, "0")
			return held
		}},
		{"the first lags, and the second has a newer one", false, func(m *mirrored) []byte {
			m.have(0, day, "0")
			m.have(1, -time.Hour, "2")
			return m.repomd(1)
		}},
		{"all lag", false, func(m *mirrored) []byte {
			held := m.repomd(0)
			m.have(0, day, "0")
			m.have(1, day, "0")
			return held
		}},
		{"all lag for a day", false, func(m *mirrored) []byte {
			held := m.repomd(0)
			m.have(0, day, "0")
			m.have(1, day, "0")
			if got := m.look(false); got != string(held) {
				m.Error("it went back at once")
			}
			m.setNow(m.now().Add(day))
			return m.repomd(0)
		}},
		{"all lag for a day, but for a moment", false, func(m *mirrored) []byte {
			held := m.repomd(0)
			m.have(0, day, "0")
			m.second.On("*", testrepo.Status(503))
			m.look(false)
			m.setNow(m.now().Add(day / 2))
			m.second.Heal()
			m.look(false)
			m.second.On("*", testrepo.Status(503))
			m.setNow(m.now().Add(day / 2))
			return held
		}},
		{"the second lags for a day, and the first had nothing new for a moment", false, func(m *mirrored) []byte {
			held := m.repomd(0)
			m.have(1, day, "0")
			m.up.On("*", testrepo.Status(503))
			m.look(false)
			m.setNow(m.now().Add(day / 2))
			m.up.Heal()
			m.look(false)
			m.up.On("*", testrepo.Status(503))
			m.setNow(m.now().Add(day / 2))
			return held
		}},
		{"the same time, another generation", false, func(m *mirrored) []byte {
			m.have(0, 0, "2")
			return m.repomd(0)
		}},
		{"an alternate of the metalink", true, func(m *mirrored) []byte {
			held := m.repomd(0)
			m.have(0, day, "0")
			m.list(held, m.repomd(0))
			return held
		}},
		{"the metalink's current one", true, func(m *mirrored) []byte {
			held := m.repomd(0)
			m.have(0, day, "0")
			m.list(m.repomd(0), held)
			return m.repomd(0)
		}},
		{"no metadata at all", false, func(m *mirrored) []byte {
			held := m.repomd(0)
			if err := m.up.Put("/updates/41/repodata/repomd.xml", []byte("<?xml version=\"1.0\"?><html/>")); err != nil {
				m.Fatal(err)
			}
			return held
		}},
	} {
		for way, ahead := range map[string]bool{"on demand": false, "ahead": true} {
			t.Run(tt.name+" "+way, func(t *testing.T) {
				m := newMirrored(t, tt.metalink)
				want := tt.then(m)
				if got := m.look(ahead); got != string(want) {
					t.Errorf("current is\n%s\nwant\n%s", got, want)
				}
			})
		}
	}
}

// TestVet: what is known of the order of two repomd.xml, and for how long.
func TestVet(t *testing.T) {
	now := time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)
	repomd := func(stamps ...string) []byte {
		var b strings.Builder
		b.WriteString("<repomd><revision>8.7</revision>")
		for _, at := range stamps {
			b.WriteString(`<data type="x"><checksum type="sha256">ab</checksum><location href="repodata/x"/>`)
			if at != "" {
				b.WriteString("<timestamp>" + at + "</timestamp>")
			}
			b.WriteString("</data>")
		}
		b.WriteString("</repomd>")
		return []byte(b.String())
	}
	for _, tt := range []struct {
		name    string
		held    []byte // nil: none
		offered []byte
		current bool
		want    error
	}{
		{"the first", nil, repomd("1"), false, nil},
		{"newer", repomd("1", "5"), repomd("6", "1"), false, nil},
		{"older", repomd("1", "5"), repomd("4", "4"), false, upstream.ErrLags},
		{"older, the metalink's", repomd("1", "5"), repomd("4", "4"), true, nil},
		{"without a time", repomd("5"), repomd(""), false, nil},
		{"behind one without a time", repomd(""), repomd("5"), false, nil},
		{"no repomd.xml", repomd("5"), []byte("<html/>"), false, cache.ErrWrongContent},
		{"no repomd.xml, the metalink's", repomd("5"), []byte("<html/>"), true, cache.ErrWrongContent},
		{"behind what can't be read", []byte("<html/>"), repomd("1"), false, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			s, err := generation.Open(generation.Options{Dir: dir, Now: func() time.Time { return now }})
			if err != nil {
				t.Fatal(err)
			}
			k := cache.Key{Repo: "r", Path: "x/repodata/repomd.xml"}
			if tt.held != nil {
				if err := os.MkdirAll(filepath.Join(dir, "r/x/repodata"), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, k.String()), tt.held, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Vet(k, tt.offered, tt.current); !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
		})
	}
}

// TestLapseIsTold: whoever reads the log learns that metadata goes back, and why; not
// before the day is over.
func TestLapseIsTold(t *testing.T) {
	now := time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)
	repomd := func(at int) []byte {
		return fmt.Appendf(nil, `<repomd><data type="x"><checksum type="sha256">ab</checksum><location href="repodata/x"/><timestamp>%d</timestamp></data></repomd>`, at)
	}
	var log bytes.Buffer
	dir := t.TempDir()
	s, err := generation.Open(generation.Options{
		Dir: dir, Now: func() time.Time { return now }, Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		t.Fatal(err)
	}
	k := cache.Key{Repo: "r", Path: "x/repodata/repomd.xml"}
	if err := errors.Join(os.MkdirAll(filepath.Join(dir, "r/x/repodata"), 0o755), os.WriteFile(filepath.Join(dir, k.String()), repomd(1_700_000_000), 0o644)); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		later time.Duration
		want  error
		told  bool
	}{
		{0, upstream.ErrLags, false}, {24*time.Hour - time.Second, upstream.ErrLags, false}, {time.Second, nil, true},
	} {
		now = now.Add(tt.later)
		log.Reset()
		err := s.Vet(k, repomd(1_600_000_000), false)
		if !errors.Is(err, tt.want) {
			t.Errorf("at %s: %v, want %v", now, err, tt.want)
		}
		if told := strings.Contains(log.String(), "metadata goes back: no mirror has had the one that is held for a day"); told != tt.told {
			t.Errorf("at %s the log says %q", now, &log)
		}
		if tt.want != nil && !strings.Contains(err.Error(), "2023-11-14T22:13:20Z") {
			t.Errorf("the refusal does not say what is held: %v", err)
		}
	}
}
