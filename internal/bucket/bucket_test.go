package bucket

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/testrepo"
)

// open is the bucket of a server, behind a prefix.
func open(t *testing.T, s *testrepo.Bucket, prefix string) *Bucket {
	t.Helper()
	b, err := Open(Options{Name: s.Name, Prefix: prefix, Endpoint: s.Endpoint, Region: "us-east-1", Credentials: s.Credentials(), Program: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// stored is a file with these bytes, and its facts.
func stored(t *testing.T, body []byte) (*os.File, cache.Facts) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, body, 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	at := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	return f, cache.Facts{SHA256: sum(body), Size: int64(len(body)), ModTime: at, Validated: at.Add(time.Hour)}
}

func sum(body []byte) cache.Digest {
	h := cache.Digest("sha256:").New()
	h.Write(body)
	return cache.SHA256(h.Sum(nil))
}

// names are the files that a bucket lists.
func names(t *testing.T, b *Bucket) (list []string) {
	t.Helper()
	if err := b.List(t.Context(), func(e Entry) error { list = append(list, fmt.Sprintf("%s %d", e.Key, e.Size)); return nil }); err != nil {
		t.Fatal(err)
	}
	return list
}

// TestObjects: what is put into a bucket comes out of it, with what stands beside it.
func TestObjects(t *testing.T) {
	s := testrepo.StartBucket(t)
	b := open(t, s, "some/where")
	body := []byte(strings.Repeat("0123456789", 10_000))
	file, facts := stored(t, body)
	k := cache.Key{Repo: "r", Path: "Packages/g/g++ ~^1:2%é.rpm"}
	if there, err := b.Has(t.Context(), k, facts); there || err != nil {
		t.Errorf("before it is put: %v, %v", there, err)
	}
	if _, err := b.Copy(t.Context(), k, 0); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before it is put: %v", err)
	}
	if err := b.Put(t.Context(), k, facts, file); err != nil {
		t.Fatal(err)
	}
	if there, err := b.Has(t.Context(), k, facts); !there || err != nil {
		t.Errorf("is it there? %v, %v", there, err)
	}
	other := facts
	other.SHA256 = sum([]byte("other"))
	if there, err := b.Has(t.Context(), k, other); there || err != nil {
		t.Errorf("is another version there? %v, %v", there, err)
	}
	for _, off := range []int64{0, 12_345} {
		has, err := b.Copy(t.Context(), k, off)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(has.Body)
		if err = errors.Join(err, has.Body.Close()); err != nil || !bytes.Equal(got, body[off:]) {
			t.Errorf("from %d on %d bytes, %v", off, len(got), err)
		}
		if has.From != off || has.Size != facts.Size || has.SHA256 != facts.SHA256 || has.LastModified != "Sat, 21 Nov 2026 09:00:00 GMT" ||
			!has.Confirmed.Equal(facts.Validated) || !strings.HasPrefix(has.URL, b.URL("r")+"/Packages/g/g%2B%2B%20") {
			t.Errorf("%+v", has)
		}
	}
	if _, err := b.Copy(t.Context(), k, facts.Size); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("from its end on: %v", err)
	}
	if !b.Awake(t.Context()) {
		t.Error("it is not awake")
	}

	// Others' objects are none of our business.
	elsewhere := open(t, s, "some")
	for _, stranger := range []cache.Key{{Repo: "wherever", Path: "x"}, {Repo: "where-else", Path: "x"}} {
		if err := elsewhere.Put(t.Context(), stranger, facts, file); err != nil {
			t.Fatal(err)
		}
	}
	second := cache.Key{Repo: "q", Path: "a.rpm"}
	if err := b.Put(t.Context(), second, facts, file); err != nil {
		t.Fatal(err)
	}
	want := []string{second.String() + " 100000", k.String() + " 100000"}
	if got := names(t, b); !slices.Equal(got, want) {
		t.Errorf("there are %q, want %q", got, want)
	}
	if err := b.Remove(t.Context(), []cache.Key{k, {Repo: "never", Path: "there"}}); err != nil {
		t.Error(err)
	}
	if got := names(t, b); !slices.Equal(got, want[:1]) {
		t.Errorf("there are %q, want %q", got, want[:1])
	}
	if got := names(t, elsewhere); len(got) != 3 {
		t.Errorf("with the strangers' there are %q", got)
	}
}

// TestParts: a file that is uploaded in parts is there with all that stands beside it, and
// comes back, also from a byte within a part.
func TestParts(t *testing.T) {
	b := open(t, testrepo.StartBucket(t), "")
	body := bytes.Repeat([]byte("0123456789abcde\n"), (partSize+1<<20)/16)
	file, facts := stored(t, body)
	k := cache.Key{Repo: "r", Path: "iso/large.iso"}
	if err := b.Put(t.Context(), k, facts, file); err != nil {
		t.Fatal(err)
	}
	if there, err := b.Has(t.Context(), k, facts); !there || err != nil {
		t.Errorf("is it there? %v, %v", there, err)
	}
	for _, off := range []int64{0, partSize - 5} {
		has, err := b.Copy(t.Context(), k, off)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(has.Body)
		if err = errors.Join(err, has.Body.Close()); err != nil || !bytes.Equal(got, body[off:]) || has.SHA256 != facts.SHA256 {
			t.Errorf("from %d on %d bytes, %v", off, len(got), err)
		}
	}
}

// TestUnfinished: parts that nobody will complete are seen by nobody, and are given up
// in time.
func TestUnfinished(t *testing.T) {
	s := testrepo.StartBucket(t)
	b := open(t, s, "x")
	part := bytes.Repeat([]byte("p"), 5<<20)
	id, err := b.write.NewMultipartUpload(t.Context(), s.Name, "x/r/iso/large.iso", minio.PutObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.write.PutObjectPart(t.Context(), s.Name, "x/r/iso/large.iso", id, 1, bytes.NewReader(part), int64(len(part)), minio.PutObjectPartOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := names(t, b); len(got) != 0 {
		t.Errorf("of an unfinished upload there are %q", got)
	}
	for _, tt := range []struct {
		before time.Time
		want   int
	}{{time.Now().Add(-time.Hour), 0}, {time.Now().Add(time.Hour), 1}, {time.Now().Add(time.Hour), 0}} {
		if n, err := b.Sweep(t.Context(), tt.before); n != tt.want || err != nil {
			t.Errorf("%d were given up, want %d: %v", n, tt.want, err)
		}
	}
}

// TestRefused: an error says what to see to, and no secret.
func TestRefused(t *testing.T) {
	s := testrepo.StartBucket(t)
	open := func(name, secret string) *Bucket {
		t.Helper()
		b, err := Open(Options{Name: name, Endpoint: s.Endpoint, Region: "us-east-1", Getenv: func(v string) string {
			return map[string]string{"AWS_ACCESS_KEY_ID": s.ID, "AWS_SECRET_ACCESS_KEY": secret}[v]
		}})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	const wrong = "another-secret-that-no-log-has"
	file, facts := stored(t, []byte("body"))
	for _, tt := range []struct {
		name string
		b    *Bucket
		want string
	}{
		{"no such bucket", open("nowhere", s.Secret), "there is no such bucket"},
		{"a wrong secret", open(s.Name, wrong), "see to the credentials"},
	} {
		k := cache.Key{Repo: "r", Path: "a.rpm"}
		_, read := tt.b.Copy(t.Context(), k, 0)
		for what, err := range map[string]error{
			"read": read, "write": tt.b.Put(t.Context(), k, facts, file), "list": tt.b.List(t.Context(), func(Entry) error { return nil }),
		} {
			if err == nil || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s, %s: error %v, want one with %q", tt.name, what, err, tt.want)
			} else if strings.Contains(err.Error(), wrong) || strings.Contains(err.Error(), s.Secret) {
				t.Errorf("%s, %s: the secret is in the error: %v", tt.name, what, err)
			}
		}
	}
	if open(s.Name, wrong).Awake(t.Context()) {
		t.Error("a bucket that lets nobody read is taken to be awake")
	}
	s.Kill()
	if b := open(s.Name, s.Secret); b.Awake(t.Context()) {
		t.Error("a server that is not there is taken to be awake")
	}
}
