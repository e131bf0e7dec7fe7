package sync

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// errWindow is the cause of what sync.window ends.
var errWindow = errors.New("the window is over")

// inWindow calls f with a context that ends with sync.window. What the window has
// stopped, before it began or on its way, is no error: the report says so.
func (a *Agent) inWindow(ctx context.Context, r *Report, f func(context.Context) error) error {
	w := a.site.Config.Sync.Window
	end, open := w.Closes(a.now().Local())
	if !open {
		r.Stopped = fmt.Sprintf("it is outside of sync.window (%s); the next run goes on from here", w)
		return nil
	}
	if !end.IsZero() {
		c, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		defer time.AfterFunc(end.Sub(a.now()), func() { cancel(errWindow) }).Stop()
		ctx = c
	}
	err := f(ctx)
	if err != nil && errors.Is(context.Cause(ctx), errWindow) {
		r.Stopped = fmt.Sprintf("sync.window (%s) is over; the next run goes on from here", w)
		return nil
	}
	return err
}
