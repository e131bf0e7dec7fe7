package systest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"intelligentmirror/internal/testrepo"
)

// TestPipelining holds that a client that sends all its requests before it reads
// an answer, as apt does, gets the answers whole and in order: of files that are
// here and that are not, of the mirror and of the proxy, and those without a body.
func TestPipelining(t *testing.T) {
	s := newSite(t, "[serve]\nproxy_allow = [\"127.0.0.1\"]")
	var specs []testrepo.Spec
	for _, name := range []string{"a", "b", "c"} {
		specs = append(specs, testrepo.Spec{Name: name, Version: "1", Release: "1", Size: 200_000})
	}
	s.publish(specs)
	bodies := make([][]byte, len(specs))
	for i, spec := range specs {
		b, err := os.ReadFile(filepath.Join(s.repo, spec.Location()))
		if err != nil {
			t.Fatal(err)
		}
		bodies[i] = b
	}
	server := s.serve()
	mirror := func(i int) string { return "/" + rootName + "/" + specs[i].Location() }
	proxy := func(i int) string { return s.base + upstreamRoot + "/" + specs[i].Location() }
	server.get(mirror(1))
	requests := []struct {
		method, uri, field string
		status             int
		body               []byte // nil: whatever it says
	}{
		{"GET", mirror(0), "", 200, bodies[0]},
		{"HEAD", mirror(1), "", 200, []byte{}},
		{"GET", mirror(1), "Range: bytes=100-299", 206, bodies[1][100:300]},
		{"GET", mirror(1), "If-Modified-Since: " + time.Now().UTC().Format(http.TimeFormat), 304, []byte{}},
		{"GET", "/" + rootName + "/none.rpm", "", 404, nil},
		{"GET", proxy(1), "", 200, bodies[1]},
		{"GET", proxy(2), "", 200, bodies[2]},
		{"GET", s.base + "/not/a/file/of/ours", "", 404, nil},
		{"GET", mirror(2), "Range: bytes=-7", 206, bodies[2][len(bodies[2])-7:]},
		{"GET", mirror(0), "", 200, bodies[0]},
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(server.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(hung)); err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, r := range requests {
		host := "mirror"
		if rest, ok := strings.CutPrefix(r.uri, "http://"); ok {
			host, _, _ = strings.Cut(rest, "/")
		}
		fmt.Fprintf(&all, "%s %s HTTP/1.1\r\nHost: %s\r\n", r.method, r.uri, host)
		if r.field != "" {
			fmt.Fprintf(&all, "%s\r\n", r.field)
		}
		all.WriteString("\r\n")
	}
	if _, err := io.WriteString(conn, all.String()); err != nil {
		t.Fatal(err)
	}
	answers := bufio.NewReader(conn)
	for i, r := range requests {
		resp, err := http.ReadResponse(answers, &http.Request{Method: r.method})
		if err != nil {
			t.Fatalf("answer %d, to %s %s: %v", i, r.method, r.uri, err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != r.status || r.body != nil && !bytes.Equal(body, r.body) {
			t.Errorf("answer %d, to %s %s %s: %s with %d bytes, %v", i, r.method, r.uri, r.field, resp.Status, len(body), err)
		}
	}
	for i, spec := range specs {
		if n := s.up.Count("GET", upstreamRoot+"/"+spec.Location()); n != 1 {
			t.Errorf("upstream was asked %d times for file %d", n, i)
		}
	}
}
