package generation

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"intelligentmirror/internal/cache"
)

// Signing is how a root's entry file has to be signed.
type Signing struct {
	// Required says that there has to be a signature; else one that there is has
	// to be good.
	Required bool
	// Check reports why a signature is not a good one of signed.
	Check func(signed, signature []byte) error
	// Inline reports why a document that carries its signature has no good one.
	Inline func(doc []byte) error
}

// errUnsigned says that upstream has no signature where there has to be one.
var errUnsigned = errors.New("upstream has no signature, and repo_gpgcheck asks for one")

// verify checks g's entry file by its signature, as Options.Signing has it. A
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
	signature := g.Root.layout().signature(g.entry)
	if signature == "" {
		return s.unsigned(path.Base(g.entry), g.check(how))
	}
	signed, err := os.ReadFile(filepath.Join(g.dir, path.Base(g.entry)))
	if err != nil {
		return err
	}
	stored := g.Root.first(g.sibling(signature))
	if b, err := s.tree.read(stored); err == nil && how.Check(signed, b) == nil {
		return s.tree.relink(stored, filepath.Join(g.dir, signature))
	}
	// Each mirror's is looked at as it comes: one may have signed other bytes, or
	// have the signature of the version before still.
	check := &cache.Check{
		ID: "signature of " + g.Digest[:12], Expected: "a good signature of the " + path.Base(g.entry) + " that came before", Most: maxSignature,
		Do: func(file io.ReaderAt, size int64) error {
			b, err := io.ReadAll(io.NewSectionReader(file, 0, size))
			if err != nil {
				return err
			}
			return how.Check(signed, b)
		},
	}
	out, err := c.StageChecked(ctx, g.Root.key(g.sibling(signature).at[0]), from, check,
		func(cache.Facts) (string, error) { return g.name(signature), nil })
	done.add(out)
	switch {
	case errors.Is(err, fs.ErrNotExist) && how.Required:
		return s.unsigned(signature, errUnsigned)
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, cache.ErrWrongContent):
		return fmt.Errorf("%s is not as %s signs it: %w", path.Base(g.entry), signature, err)
	case err != nil:
		return fmt.Errorf("%s: %w", signature, err)
	}
	return nil
}

// unsigned is what comes of a signature that no mirror has sent anew, or that is not
// there: nobody else counts it.
func (s *Store) unsigned(name string, why error) error {
	err := fmt.Errorf("%s: %w: %w", name, why, cache.WrongSignature.Wrong())
	s.refused.Note(err)
	return err
}

// maxSignature bounds a detached signature, in bytes. A real one has some hundred.
const maxSignature = 1 << 20

// check checks g's entry file by the signature that it carries or that is in its
// directory.
func (g *Generation) check(how *Signing) error {
	signed, err := os.ReadFile(filepath.Join(g.dir, path.Base(g.entry)))
	if err != nil {
		return err
	}
	name := g.Root.layout().signature(g.entry)
	if name == "" {
		return how.Inline(signed)
	}
	signature, err := os.ReadFile(filepath.Join(g.dir, name))
	if err != nil {
		return err
	}
	return how.Check(signed, signature)
}
