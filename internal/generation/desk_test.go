package generation_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/generation"
	"intelligentmirror/internal/repodata"
	"intelligentmirror/internal/testrepo"
	"intelligentmirror/internal/upstream"
)

// desk is a Refresher in front of an upstream with one root. Every request
// validates, and none of its time-outs runs out by itself.
type desk struct {
	*testing.T
	up      *testrepo.Server
	files   string // what upstream has of the root
	dir     string // of the cache
	store   *generation.Store
	cache   *cache.Cache
	fresh   *generation.Refresher
	root    generation.Root
	clock   atomic.Int64
	signing *generation.Signing // nil: nobody asks for signatures
	// withdrawn is the digest of a repomd.xml that no metalink lists any more.
	withdrawn atomic.Value
	// simple calls metadata "primary.xml.gz", whatever is in it.
	simple bool

	mirrors *upstream.Mirrors
	said    testrepo.Buffer // what the store has logged
	refused cache.Refused
}

func newDesk(t *testing.T, patience time.Duration) *desk {
	t.Helper()
	top := t.TempDir()
	d := &desk{
		T: t, up: testrepo.Start(t, top), files: filepath.Join(top, "updates", "41"), dir: t.TempDir(),
		root: generation.Root{Repo: "r", Path: "updates/41"},
	}
	d.clock.Store(time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC).UnixNano())
	d.mirrors = patient(t, upstream.Options{Refused: &d.refused, Now: d.now}).Mirrors("r", []string{d.up.URL})
	d.start(7*24*time.Hour, patience)
	t.Cleanup(d.up.Heal)
	return d
}

// patient is a client of mirrors none of whose time-outs runs out by itself.
func patient(t *testing.T, o upstream.Options) *upstream.Client {
	o.UserAgent, o.Connect, o.Header, o.Idle = "test/1", time.Minute, time.Minute, time.Minute
	c := upstream.New(o)
	t.Cleanup(c.Close)
	return c
}

// now is the time for all that is tried here.
func (d *desk) now() time.Time { return time.Unix(0, d.clock.Load()) }

// start opens the cache, as a program does that is started on it.
func (d *desk) start(keep, patience time.Duration) {
	d.Helper()
	source := func(repo string) cache.Source {
		if repo == "r" {
			return d.mirrors
		}
		return nil
	}
	var err error
	if d.store, err = generation.Open(generation.Options{Dir: d.dir, Keep: keep, Refused: &d.refused, Now: d.now,
		Log:     slog.New(slog.NewTextHandler(&d.said, nil)),
		Signing: func(generation.Root) *generation.Signing { return d.signing }}); err != nil {
		d.Fatal(err)
	}
	d.cache, err = cache.Open(cache.Options{
		Dir: d.dir, Catalog: d.store, Now: d.now, Source: source,
		Policy: func(k cache.Key) cache.Policy {
			_, anchor := generation.RootOf(k)
			return cache.Policy{Format: cache.FormatOf(k.Path), Anchor: anchor}
		},
	})
	if err != nil {
		d.Fatal(err)
	}
	d.Cleanup(func() { d.cache.Close() })
	withdrawn := func(_ cache.Key, digest cache.Digest) bool { return d.withdrawn.Load() == digest }
	d.withdrawn.Store(cache.Digest(""))
	d.fresh = generation.NewRefresher(generation.RefresherOptions{
		Withdrawn: withdrawn,
		Store:     d.store, Cache: d.cache, Source: source, Rest: func() time.Duration { return time.Minute }, Patience: patience, Now: d.now,
	})
	d.Cleanup(d.fresh.Close)
}

// client is who asks where it does not matter.
const client = "10.1.2.3"

// pass lets time pass.
func (d *desk) pass(by time.Duration) { d.clock.Add(int64(by)) }

// publish makes the specs what upstream has.
func (d *desk) publish(specs ...testrepo.Spec) {
	d.Helper()
	d.pass(2 * time.Minute)
	o := testrepo.BuildOptions{Time: d.now(), SimpleNames: d.simple}
	if err := testrepo.Build(d.files, specs, o); err != nil {
		d.Fatal(err)
	}
}

// sign puts a file in the place of repomd.xml's signature.
func (d *desk) sign(text string) {
	d.Helper()
	name := filepath.Join(d.files, "repodata", "repomd.xml.asc")
	if err := errors.Join(os.WriteFile(name, []byte(text), 0o644), os.Chtimes(name, d.now(), d.now())); err != nil {
		d.Fatal(err)
	}
}

// upstream is what upstream has for repomd.xml.
func (d *desk) upstream() string {
	d.Helper()
	b, err := os.ReadFile(filepath.Join(d.files, "repodata", "repomd.xml"))
	if err != nil {
		d.Fatal(err)
	}
	return string(b)
}

// entry is the key of the root's repomd.xml.
func (d *desk) entry() cache.Key {
	return cache.Key{Repo: d.root.Repo, Path: d.root.Path + "/repodata/repomd.xml"}
}

// read is all of an object, and closes it.
func read(o *cache.Object) (string, error) {
	defer o.Close()
	var b bytes.Buffer
	_, err := o.SendTo(context.Background(), &b, 0, -1)
	return b.String(), err
}

// ask is a client's request for repomd.xml.
func (d *desk) ask() (body, status string, err error) {
	o, err := d.fresh.Get(d.Context(), d.entry(), client)
	if err != nil {
		return "", "", err
	}
	status = strings.TrimPrefix(o.Status.String(), "imserve; ")
	body, err = read(o)
	return body, status, err
}

// gets checks what a client gets for repomd.xml.
func (d *desk) gets(want, wantStatus string) {
	d.Helper()
	body, status, err := d.ask()
	if err != nil || body != want || status != wantStatus {
		d.Errorf("got %d bytes (the expected ones: %v), %q, %v; want %q", len(body), body == want, status, err, wantStatus)
	}
}

// whole checks that what a repomd.xml lists can be had as it lists it. Whoever
// asks for all of it makes all of it needed.
func (d *desk) whole(body string) error {
	m, err := repodata.ParseRepomd(strings.NewReader(body))
	if err != nil {
		return err
	}
	for _, x := range m.Data {
		k, err := d.root.Key(x.Location)
		if err != nil {
			return err
		}
		o, err := d.cache.Get(d.Context(), k)
		if err != nil {
			return err
		}
		got, err := read(o)
		if err != nil || sha256Of(got).Hex() != x.Checksum.Hex {
			return fmt.Errorf("%s: %d bytes, not those that it lists: %v", x.Location, len(got), err)
		}
	}
	return nil
}

// settle waits until nothing is brought together any more.
func (d *desk) settle() { d.fresh.AwaitIdle() }

// file is what a client gets for a file in repodata/, as the server asks for it.
func (d *desk) file(name, client string) (string, error) {
	k, err := d.root.Key("repodata/" + name)
	if err != nil {
		return "", err
	}
	o, err := d.fresh.Sibling(d.Context(), k)
	if o == nil && err == nil {
		o, err = d.fresh.Begun(d.Context(), k, client)
	}
	if o == nil && err == nil {
		o, err = d.cache.Get(d.Context(), k)
	}
	if err != nil {
		return "", err
	}
	return read(o)
}

// begins has a client ask for repomd.xml, which has to be upstream's.
func (d *desk) begins(client string) {
	d.Helper()
	o, err := d.fresh.Get(d.Context(), d.entry(), client)
	if err != nil {
		d.Fatal(err)
	}
	if body, err := read(o); err != nil || body != d.upstream() {
		d.Errorf("%s gets other metadata: %d bytes, %v", client, len(body), err)
	}
}

// gives checks what a client gets for a file in repodata/.
func (d *desk) gives(client, name, want string) {
	d.Helper()
	if got, err := d.file(name, client); err != nil || got != want {
		d.Errorf("%s gets %d bytes of %s, %.20q, want %d, %.20q: %v", client, len(got), name, got, len(want), want, err)
	}
}

func unreachable(err error) bool { return errors.As(err, new(*cache.UnreachableError)) }
