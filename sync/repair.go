package sync

import (
	"context"
	"errors"
	"fmt"

	"intelligentmirror/internal/cache"
)

// repair puts a wrong file aside, and fetches it again. Metadata that upstream does not
// have any more as it was gives way to what upstream has, all of it.
func (a *Agent) repair(ctx context.Context, f cache.Finding) error {
	if err := a.site.Cache.PutAside(f); err != nil {
		return fmt.Errorf("it can't be put aside: %w", err)
	}
	mirrors := a.site.Mirrors(f.Key.Repo)
	if mirrors == nil {
		return errors.New("it is put aside; no repo has it, the next request for it fetches it again")
	}
	store, from := a.site.Generations, mirrors.Grab()
	root, isMetadata := store.MetadataOf(f.Key)
	w, _ := store.Lookup(f.Key)
	if isMetadata && f.Should.Known() {
		w = f.Should // another one does not go with the rest
	}
	_, err := a.site.Cache.Bring(ctx, f.Key, w, from)
	if err == nil {
		if err := store.Mend(f.Key); err != nil {
			return fmt.Errorf("the copy of it below .im/gen can't be mended: %w", err)
		}
		return nil
	}
	if isMetadata && ctx.Err() == nil {
		if other := store.Renew(ctx, a.site.Cache, root, from); other != nil {
			err = errors.Join(err, other)
		} else {
			return nil
		}
	}
	return fmt.Errorf("it is put aside, and can't be fetched again: %w", err)
}
