package generation

import (
	"context"

	"intelligentmirror/internal/cache"
)

// Doubt asks upstream whether what promises the file k is current still, where that
// is due: other bytes than the promised ones may be those of a package that was signed
// or built anew under its name, of which nobody has asked for the metadata here since.
// It waits as Get does. What upstream can't say stays as it is.
func (f *Refresher) Doubt(ctx context.Context, k cache.Key) {
	if w, _ := f.o.Store.Lookup(k); !w.Known() {
		return
	}
	for _, r := range f.o.Store.find(k) {
		entry, there := f.o.Store.entry(r.Root)
		if !there {
			continue
		}
		if o, err := f.get(ctx, r.Root, entry); err == nil {
			o.Close()
		}
	}
}
