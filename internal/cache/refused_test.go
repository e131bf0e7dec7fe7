package cache

import (
	"errors"
	"fmt"
	"testing"
)

// TestReasonOf: an error keeps its text, what it wraps and its reason, however far up
// it has come.
func TestReasonOf(t *testing.T) {
	lags := errors.New("it lags")
	for _, tt := range []struct {
		name   string
		err    error
		reason Reason
		wraps  error
	}{
		{"a digest", &WrongContentError{URL: "u"}, WrongDigest, ErrWrongContent},
		{"a signature", &WrongContentError{URL: "u", Err: errors.New("unsigned")}, WrongSignature, ErrWrongContent},
		{"a length, wrapped", fmt.Errorf("u: %w", WrongLength.Wrong()), WrongLength, ErrWrongContent},
		{"another error's", fmt.Errorf("u: %w: %w", errors.New("refused"), Lagging.Of(lags)), Lagging, lags},
		{"none", fmt.Errorf("u: %w", ErrWrongContent), NoReason, ErrWrongContent},
		{"no error", nil, NoReason, nil},
	} {
		var c Refused
		c.Note(tt.err)
		for r := range Reasons {
			want := int64(0)
			if r == tt.reason && r != NoReason {
				want = 1
			}
			if n := c.Count(r); n != want {
				t.Errorf("%s: counted %d times as %q", tt.name, n, r)
			}
		}
		if got := ReasonOf(tt.err); got != tt.reason || !errors.Is(tt.err, tt.wraps) {
			t.Errorf("%s: %q, wraps %v: %v", tt.name, got, tt.wraps, errors.Is(tt.err, tt.wraps))
		}
	}
	if got := WrongFormat.Wrong().Error(); got != ErrWrongContent.Error() {
		t.Errorf("the text is %q", got)
	}
	(*Refused)(nil).Note(WrongDigest.Wrong())
	seen := map[string]bool{}
	for r := range Reasons {
		if seen[r.String()] {
			t.Errorf("%q twice", r)
		}
		seen[r.String()] = true
	}
}
