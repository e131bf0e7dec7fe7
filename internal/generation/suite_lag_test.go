package generation_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/generation"
	"intelligentmirror/internal/testrepo"
	"intelligentmirror/internal/upstream"
)

// TestSuiteLag: a mirror that lags, or whose InRelease has expired, does not take
// clients back, and is still better than none.
func TestSuiteLag(t *testing.T) {
	const day = 24 * time.Hour
	for _, tt := range []struct {
		name  string
		first bool // nothing is held
		then  func(a *archive, second func(map[string][]byte), old map[string][]byte) (want map[string][]byte)
	}{
		{"the first lags", false, func(a *archive, _ func(map[string][]byte), old map[string][]byte) map[string][]byte {
			held := a.has
			a.all(old)
			return held
		}},
		{"the first lags, the second has a newer one", false, func(a *archive, second func(map[string][]byte), old map[string][]byte) map[string][]byte {
			next := a.build(debs("3"))
			a.all(old)
			second(next)
			return next
		}},
		{"all lag for a day", false, func(a *archive, second func(map[string][]byte), old map[string][]byte) map[string][]byte {
			held := a.has
			a.all(old)
			second(old)
			if got, _, err := a.get(a.root+"/InRelease", client); err != nil || got != string(held[a.root+"/InRelease"]) {
				a.Errorf("it went back at once: %v", err)
			}
			a.pass(day)
			return old
		}},
		{"the first has expired", false, func(a *archive, second func(map[string][]byte), _ map[string][]byte) map[string][]byte {
			next := a.build(debs("3"))
			second(next)
			a.pass(8 * day)
			later := a.build(debs("4"))
			second(later)
			return later
		}},
		{"all have expired", false, func(a *archive, second func(map[string][]byte), _ map[string][]byte) map[string][]byte {
			next := a.build(debs("3"))
			a.all(next)
			second(next)
			a.pass(8 * day)
			return next
		}},
		{"all have expired, and nothing is held", true, func(a *archive, second func(map[string][]byte), _ map[string][]byte) map[string][]byte {
			second(a.has)
			a.pass(8 * day)
			return a.has
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tree := t.TempDir()
			other := testrepo.Start(t, tree)
			a := newArchive(t, testrepo.Suite{Name: "stable", Inline: inRelease, Valid: 7 * day}, other)
			second := func(files map[string][]byte) {
				for name, b := range files {
					if err := other.Put("/"+name, b); err != nil {
						t.Fatal(err)
					}
				}
			}
			a.issue(debs("1"))
			old := a.has
			a.issue(debs("2"))
			second(a.has)
			if !tt.first {
				if err := a.update(client); err != nil {
					t.Fatal(err)
				}
			}
			a.settle()
			want := tt.then(a, second, old)[a.root+"/InRelease"]
			a.settle()
			a.pass(2 * time.Minute)
			got, how, err := a.get(a.root+"/InRelease", client)
			if err != nil || got != string(want) {
				t.Errorf("%q, %v:\n%.150s\nwant\n%.150s", how, err, got, want)
			}
		})
	}
}

// TestVetSuite: what is known of an InRelease by itself and beside the one that is held.
func TestVetSuite(t *testing.T) {
	now := time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)
	at := func(day string) []byte {
		return []byte("Suite: stable\nDate: Sun, " + day + " Nov 2026 02:00:00 UTC\nSHA256:\n")
	}
	expired := append([]byte("Valid-Until: Sun, 22 Nov 2026 02:59:00 UTC\n"), at("22")...)
	unsigned := append([]byte("Label: unsigned\n"), at("22")...)
	for _, tt := range []struct {
		name, path    string
		held, offered []byte
		want, confirm error
	}{
		{"the first", "dists/stable/InRelease", nil, at("22"), nil, nil},
		{"newer", "dists/stable/InRelease", at("15"), at("22"), nil, nil},
		{"older", "dists/stable/InRelease", at("22"), at("15"), upstream.ErrLags, nil},
		{"older, a Release", "flat/Release", at("22"), at("15"), upstream.ErrLags, nil},
		{"expired", "dists/stable/InRelease", at("15"), expired, upstream.ErrExpired, nil},
		{"the held one has expired", "dists/stable/InRelease", expired, expired, upstream.ErrExpired, upstream.ErrExpired},
		{"older, and expired", "dists/stable/InRelease", at("29"), expired, upstream.ErrLags, nil},
		{"without a date", "dists/stable/InRelease", at("22"), []byte("Suite: stable\n"), nil, nil},
		{"a page", "dists/stable/InRelease", at("22"), []byte("<html>\n"), cache.ErrWrongContent, nil},
		{"badly signed", "dists/stable/InRelease", at("15"), unsigned, cache.ErrWrongContent, nil},
		{"signed beside it", "dists/stable/Release", at("15"), unsigned, nil, nil},
		{"of a component", "dists/stable/main/binary-amd64/Release", at("22"), []byte("Archive: stable\n"), nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			s, err := generation.Open(generation.Options{Dir: dir, Now: func() time.Time { return now },
				Signing: func(generation.Root) *generation.Signing {
					return &generation.Signing{Required: true, Inline: func(doc []byte) error {
						if bytes.Equal(doc, unsigned) {
							return errForged
						}
						return nil
					}}
				}})
			if err != nil {
				t.Fatal(err)
			}
			k := cache.Key{Repo: "r", Path: tt.path}
			if tt.held != nil {
				name := filepath.Join(dir, k.String())
				if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, tt.held, 0o644)); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Vet(k, tt.offered, false); !errors.Is(err, tt.want) {
				t.Errorf("vet: %v, want %v", err, tt.want)
			}
			if err := s.Confirm(k); !errors.Is(err, tt.confirm) {
				t.Errorf("confirm: %v, want %v", err, tt.confirm)
			}
		})
	}
}
