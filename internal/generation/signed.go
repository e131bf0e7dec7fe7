package generation

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"intelligentmirror/internal/cache"
)

// Signing is how a root's repomd.xml has to be signed.
type Signing struct {
	// Required says that there has to be a signature; else one that there is has
	// to be good.
	Required bool
	// Check reports why a signature is not a good one of signed.
	Check func(signed, signature []byte) error
}

// errUnsigned says that upstream has no signature where there has to be one.
var errUnsigned = errors.New("upstream has no " + signatureName + ", and repo_gpgcheck asks for one")

// verify checks g's repomd.xml by its signature, as Options.Signing has it. A
// generation that is whole was checked before it became so.
func (s *Store) verify(ctx context.Context, c *cache.Cache, g *Generation, from cache.Source, done *Staged) error {
	how := s.signing(g.Root)
	if how == nil {
		return nil
	}
	if _, err := os.Stat(filepath.Join(g.dir, catalogName)); err == nil {
		return nil
	}
	if g.check(how) == nil {
		return nil // an earlier try has brought it
	}
	k, err := g.Root.Key("repodata/" + signatureName)
	if err != nil {
		return err
	}
	out, err := c.Stage(ctx, k, cache.Want{}, from, func(cache.Facts) (string, error) { return g.name(signatureName), nil })
	done.Fetched += out.Fetched
	done.Resumed += out.Resumed
	switch {
	case errors.Is(err, fs.ErrNotExist) && how.Required:
		return fmt.Errorf("%w: %w", errUnsigned, cache.ErrWrongContent)
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("%s: %w", signatureName, err)
	case out.NotModified:
		to := filepath.Join(g.dir, signatureName)
		if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := link(filepath.Join(s.tree, k.String()), to); err != nil {
			return err
		}
	}
	if err := g.check(how); err != nil {
		return fmt.Errorf("%s is not as %s signs it: %w: %w", repomdName, signatureName, err, cache.ErrWrongContent)
	}
	return nil
}

// check checks g's repomd.xml by the signature that is in its directory.
func (g *Generation) check(how *Signing) error {
	signed, err := os.ReadFile(filepath.Join(g.dir, repomdName))
	if err != nil {
		return err
	}
	signature, err := os.ReadFile(filepath.Join(g.dir, signatureName))
	if err != nil {
		return err
	}
	return how.Check(signed, signature)
}
