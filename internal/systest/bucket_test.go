package systest

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"intelligentmirror/internal/testrepo"
)

// share lets the site's programs share a bucket, at the address at.
func (s *site) share(b *testrepo.Bucket, at string) {
	s.t.Helper()
	text, err := os.ReadFile(s.config)
	if err != nil {
		s.t.Fatal(err)
	}
	s.write(s.config, fmt.Sprintf("bucket = \"s3://%s/mirror\"\nbucket_endpoint = %q\nbucket_credentials = %q\n%s", b.Name, at, b.Credentials(), text))
}

// bucketState is what the status says of the bucket.
type bucketState struct {
	Waiting, Uploaded, Failures int64
	Came                        int64 `json:"came_bytes"`
	Error                       string
}

func (s *server) bucket() bucketState {
	s.t.Helper()
	var status struct{ Bucket bucketState }
	if err := json.Unmarshal(s.get("/-/status.json"), &status); err != nil {
		s.t.Fatal(err)
	}
	return status.Bucket
}

// awaitUploads waits until all that the server's cache has committed is in the bucket.
func (n *node) awaitUploads(b *testrepo.Bucket, paths ...string) {
	n.at.t.Helper()
	for _, path := range paths {
		n.at.await(path+" in the bucket", func() bool {
			_, err := os.Stat(b.File("mirror" + path))
			return err == nil
		})
	}
	n.at.await("an empty queue", func() bool { return n.run.bucket().Waiting == 0 })
}

// silent holds that no program has written a secret of the bucket's.
func silent(t *testing.T, b *testrepo.Bucket, text string) {
	t.Helper()
	if strings.Contains(text, b.Secret) {
		t.Errorf("the secret is in what a program wrote:\n%s", text)
	}
}

// TestBucket holds that two imserve and an imsync, which have a bucket in common and
// nothing else, ask upstream for a file once; that what can change is asked for by each;
// that a bucket out of reach costs clients nothing and loses nothing; and that wrong
// objects are neither served nor stored.
func TestBucket(t *testing.T) {
	b := testrepo.StartBucket(t)
	up := newSite(t).underRace()
	specs := things(6)
	up.publish(specs)
	var nodes [2]*node
	for i := range nodes {
		nodes[i] = &node{at: up.another(t, "[sync]\npackages = [\"*\"]\nroots = [\""+rootName+"\"]"), addr: freeAddress(t, fmt.Sprintf("127.0.0.%d", 31+i))}
		nodes[i].at.share(b, b.Endpoint)
		nodes[i].start()
	}
	old, fresh := nodes[0], nodes[1]
	repomd := "/" + rootName + "/repodata/repomd.xml"
	paths := make([]string, len(specs))
	want := map[string][]byte{}
	for i, spec := range specs {
		paths[i] = "/" + rootName + "/" + spec.Location()
	}

	// What nobody has is asked for at upstream, once.
	old.run.get(repomd)
	for _, path := range paths {
		want[path] = old.run.get(path)
	}
	old.awaitUploads(b, paths...)
	for path, n := range asked(up) {
		if n != 1 {
			t.Errorf("upstream was asked %d times for %s", n, path)
		}
	}
	if _, err := os.Stat(b.File("mirror" + repomd)); err == nil {
		t.Error("a repomd.xml is in the bucket")
	}

	// The other one asks upstream for repomd.xml, and for nothing else.
	up.up.Forget()
	fresh.run.get(repomd)
	for _, path := range paths[:4] {
		a, err := fresh.run.fetch(path)
		if err != nil || a.err != nil || string(a.body) != string(want[path]) {
			t.Fatalf("%s: %v, %v, status %d", path, err, a.err, a.status)
		}
		if status := a.header.Get("Cache-Status"); status != "imserve; fwd=uri-miss; stored; detail=bucket" {
			t.Errorf("%s: %s", path, status)
		}
		fresh.at.awaitFile(path)
	}
	onlyRepomd := func(what string) {
		t.Helper()
		for path, n := range asked(up) {
			if path != upstreamBase+strings.TrimPrefix(repomd, "/fedora") {
				t.Errorf("%s: upstream was asked %d times for %s", what, n, path)
			}
		}
		up.up.Forget()
	}
	onlyRepomd("what the first had stored")
	if s := fresh.run.bucket(); s.Came < 2<<20 || s.Uploaded != 0 {
		t.Errorf("%+v", s)
	}

	// So does an imsync of its own, for what is left of the repository.
	night := &node{at: up.another(t, "[sync]\npackages = [\"*\"]\nroots = [\""+rootName+"\"]")}
	night.at.share(b, b.Endpoint)
	if r := night.at.once(); r.Fetched != len(specs) {
		t.Errorf("%d packages were fetched, want %d", r.Fetched, len(specs))
	}
	onlyRepomd("an imsync beside them")

	// Wrong bytes, and fewer, are neither handed out nor stored; who notices puts them right.
	for i, path := range paths[4:] {
		wrong := []byte(strings.Repeat("wrong", len(want[path])/5+1))[:len(want[path])]
		if i == 1 {
			wrong = want[path][:1000]
		}
		if err := os.WriteFile(b.File("mirror"+path), wrong, 0o644); err != nil {
			t.Fatal(err)
		}
		if body := fresh.run.get(path); string(body) != string(want[path]) {
			t.Errorf("%s: %d other bytes came", path, len(body))
		}
		if sum := fresh.at.awaitFile(path); sum != digest(want[path]) {
			t.Errorf("%s: other bytes are stored", path)
		}
		fresh.awaitUploads(b)
		fresh.at.await("the right bytes in the bucket", func() bool {
			now, err := os.ReadFile(b.File("mirror" + path))
			return err == nil && string(now) == string(want[path])
		})
	}

	// Without it requests go to upstream, and what they bring comes there later.
	b.Kill()
	put(up, "late.rpm", 5000)
	if body := fresh.run.get("/fedora/late.rpm"); len(body) != 5000 {
		t.Errorf("%d bytes of a file, with no bucket", len(body))
	}
	fresh.at.await("a failure to be seen", func() bool { s := fresh.run.bucket(); return s.Waiting == 1 && s.Error != "" })
	put(up, "later.rpm", 6000)
	if body := fresh.run.get("/fedora/later.rpm"); len(body) != 6000 {
		t.Errorf("%d bytes of a file, with no bucket", len(body))
	}
	// It is stored before it is noted that it has to be uploaded.
	fresh.at.await("both to be noted", func() bool { return fresh.run.bucket().Waiting == 2 })
	fresh.run.kill()
	b.Start()
	fresh.start()
	fresh.awaitUploads(b, "/fedora/late.rpm", "/fedora/later.rpm")

	// What nobody promises is taken from there if upstream still has it.
	up.up.Forget()
	if body := old.run.get("/fedora/late.rpm"); len(body) != 5000 {
		t.Errorf("%d bytes of a file in the bucket", len(body))
	}
	if all := up.up.Requests(); len(all) != 1 || all[0].Status != 304 {
		t.Errorf("upstream was asked %v, want one question whether it still has it", all)
	}
	if err := os.Remove(up.tree + upstreamBase + "/later.rpm"); err != nil {
		t.Fatal(err)
	}
	if a, err := old.run.fetch("/fedora/later.rpm"); err != nil || a.status != 404 {
		t.Errorf("what is gone upstream came out of the bucket: %v, %d", err, a.status)
	}
	if page := fresh.run.page(""); !strings.Contains(page, "s3://site/mirror") {
		t.Errorf("the status page has nothing of the bucket:\n%s", page)
	}
	for name, least := range map[string]float64{
		"imserve_bucket_bytes_total": 0, "imserve_bucket_waiting": 0, "imserve_bucket_uploads_total": 2,
		"imserve_bucket_uploaded_bytes_total": 11_000, "imserve_bucket_upload_failures_total": 0, "imserve_bucket_up": 1,
	} {
		if v := fresh.run.gauge(name); v < least {
			t.Errorf("%s is %v, want %v at least", name, v, least)
		}
	}
	for _, n := range nodes {
		silent(t, b, n.run.stderr.String()+string(n.run.get("/-/status.json"))+string(n.run.get("/-/metrics")))
	}
}

// TestBucketCredentials holds that neither program starts with credentials that can't be
// used, and that both say what to do.
func TestBucketCredentials(t *testing.T) {
	s := newSite(t)
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	file := s.dir + "/credentials"
	const secret = "a-secret"
	s.write(file, "[default]\naws_access_key_id = id\naws_secret_access_key = "+secret+"\n") // everybody can read it
	for _, tt := range []struct{ keys, want string }{
		{"bucket = \"s3://site\"\n", "AWS_ACCESS_KEY_ID"},
		{fmt.Sprintf("bucket = \"s3://site\"\nbucket_credentials = %q\n", file), "chmod o="},
	} {
		s.write(s.config, tt.keys+string(text))
		for _, args := range [][]string{{"imserve"}, {"imsync", "status"}} {
			p := start(t, args[0], append(args[1:], "--config", s.config)...)
			if code := p.wait(); code != 2 || !strings.Contains(p.stderr.String(), tt.want) || strings.Contains(p.stderr.String(), secret) {
				t.Errorf("%s: exit code %d: %s", args[0], code, p.stderr.String())
			}
		}
	}
}
