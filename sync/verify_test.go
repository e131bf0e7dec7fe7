package sync

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
)

// TestVerifyResumes: a verification that is broken off is gone on with, and what
// it had found is not lost.
func TestVerifyResumes(t *testing.T) {
	b := newBench(t, `packages = ["a", "b", "c"]`, nil, pkgSpec("a", "1"), pkgSpec("b", "1"), pkgSpec("c", "1"))
	b.once()
	verify := func(ctx context.Context, o VerifyOptions) (*VerifyReport, error) { return b.agent.Verify(ctx, o) }
	whole, err := verify(t.Context(), VerifyOptions{})
	if err != nil || whole.Files < 6 || whole.Bytes < 60_000 || len(whole.Wrong) != 0 || whole.Unknown != 0 || whole.Resumed {
		t.Fatalf("%+v, %v", whole, err)
	}

	stopped, stop := context.WithCancel(t.Context())
	stop()
	if _, err := verify(stopped, VerifyOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("broken off: %v", err)
	}
	// As one leaves it that has come to b.
	at := *whole
	at.Files, at.After = 2, benchRoot+"/"+pkgSpec("b", "1").Location()
	at.Wrong = []WrongFile{{Path: "r/found before", Error: "wrong"}}
	if err := b.agent.history.byHand().keep(&at); err != nil {
		t.Fatal(err)
	}
	rest, err := verify(t.Context(), VerifyOptions{})
	if err != nil || !rest.Resumed || rest.Files != whole.Files || len(rest.Wrong) != 1 || rest.Failures() != 1 {
		t.Errorf("gone on with: %+v, %v; want %d files", rest, err, whole.Files)
	}
	if again, err := verify(t.Context(), VerifyOptions{}); err != nil || again.Resumed || again.Files != whole.Files || len(again.Wrong) != 0 {
		t.Errorf("the next: %+v, %v", again, err)
	}
	if err := b.agent.history.byHand().keep(&at); err != nil {
		t.Fatal(err)
	}
	if anew, err := verify(t.Context(), VerifyOptions{Restart: true, Rate: 1 << 30}); err != nil || anew.Resumed || len(anew.Wrong) != 0 {
		t.Errorf("from the first file: %+v, %v", anew, err)
	}

	unlock, err := lock(filepath.Join(b.site.Config.StateDir, "imsync-verify.lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	if _, err := verify(t.Context(), VerifyOptions{}); !errors.Is(err, ErrRunning) {
		t.Errorf("a second one: %v", err)
	}
}
