package sync

import (
	"context"
	"errors"
	"fmt"

	"intelligentmirror/internal/config"
)

// errWindow is the cause of what sync.window ends.
var errWindow = errors.New("the window is over")

// inWindow calls f with a context that ends with sync.window. What the window has
// stopped, before it began or on its way, is no error: the report says so.
func (a *Agent) inWindow(ctx context.Context, r *Report, f func(context.Context) error) error {
	var err error
	r.Stopped, err = a.within(ctx, a.site.Config.Sync.Window, "sync.window", f)
	return err
}

// within calls f with a context that ends with the window w, which the configuration
// calls name. stopped says that the window has ended f, or let it not begin, which is
// no error.
func (a *Agent) within(ctx context.Context, w config.Window, name string, f func(context.Context) error) (stopped string, err error) {
	end, open := w.Closes(a.now().Local())
	if !open {
		return fmt.Sprintf("it is outside of %s (%s); the next run goes on from here", name, w), nil
	}
	if !end.IsZero() {
		c, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		defer at(a.now, end, func() { cancel(errWindow) })()
		ctx = c
	}
	err = f(ctx)
	if err != nil && errors.Is(context.Cause(ctx), errWindow) {
		return fmt.Sprintf("%s (%s) is over; the next run goes on from here", name, w), nil
	}
	return "", err
}
