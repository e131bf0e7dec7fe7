package origin

import (
	"io"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"
)

// get returns the status and the body of an answer.
func get(t *testing.T, url, ranges string) (int, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if ranges != "" {
		req.Header.Set("Range", ranges)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, b
}

func TestOrigin(t *testing.T) {
	o, err := Start(t.Context(), 1<<40)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	}()
	const size = 3 << 20
	o.Add("/pub/a.rpm", size)
	if status, b := get(t, o.URL+"/pub/a.rpm", ""); status != http.StatusOK || len(b) != size || !Same(b, 0) || Same(b, 1) {
		t.Errorf("the whole: %d, %d bytes", status, len(b))
	}
	if status, b := get(t, o.URL+"/pub/a.rpm", "bytes=1048000-2097999"); status != http.StatusPartialContent || len(b) != 1_050_000 || !Same(b, 1_048_000) {
		t.Errorf("a range: %d, %d bytes", status, len(b))
	}
	if status, _ := get(t, o.URL+"/pub/b.rpm", ""); status != http.StatusNotFound {
		t.Errorf("another: %d", status)
	}
	if s := o.Seen("/pub/a.rpm"); s.GETs != 2 || s.First.IsZero() || !s.Last.After(s.First) {
		t.Errorf("%+v", s)
	}
}

// All answers share the link, at the speed that it is said to have.
func TestLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size, speed = 1 << 20, 4 << 20
		o := &Origin{link: rate.NewLimiter(speed, burst), seen: map[string]Transfer{}}
		begin := time.Now()
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() {
				if n, err := io.Copy(io.Discard, &body{o: o, path: "/a", ctx: t.Context(), size: size}); n != size || err != nil {
					t.Errorf("%d bytes, %v", n, err)
				}
			})
		}
		both.Wait()
		// What it sends at once comes before time counts.
		want := time.Duration(float64(time.Second) * (2*size - burst) / speed)
		if took := time.Since(begin); (took - want).Abs() > time.Millisecond {
			t.Errorf("2 MiB over a link of 4 MiB/s took %v, want %v", took, want)
		}
		if s := o.Seen("/a"); s.First != begin || s.Last != time.Now() {
			t.Errorf("%+v", s)
		}
	})
}

func TestSame(t *testing.T) {
	n := int64(len(block()))
	if !Same(block()[:6], 3*n) || Same(block()[:6], 3*n+1) || !Same(nil, 7) {
		t.Error("what the files consist of is not told apart")
	}
}
