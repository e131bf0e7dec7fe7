package site

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/config"
	"intelligentmirror/internal/generation"
	"intelligentmirror/internal/repodata"
)

// ErrKeys says that the files in gpg_keys can't be used. Another try won't help
// before somebody has changed the files or the configuration.
var ErrKeys = errors.New("gpg_keys can't be used")

// Keyrings reads the keys of the repos that name some, by the repo's name. The
// error wraps ErrKeys, and names each repo and file that is wrong.
func Keyrings(cfg *config.Config) (map[string]*repodata.Keyring, error) {
	rings := map[string]*repodata.Keyring{}
	var errs []error
	for _, r := range cfg.Repos {
		if len(r.GPGKeys) == 0 {
			if r.RepoGPGCheck == config.GPGAlways {
				errs = append(errs, fmt.Errorf("repo %s: repo_gpgcheck is %q, and there are no gpg_keys to check with; name the repository's public keys there", r.Name, r.RepoGPGCheck))
			}
			continue
		}
		ring := &repodata.Keyring{}
		for _, name := range r.GPGKeys {
			b, err := os.ReadFile(name)
			if err != nil {
				errs = append(errs, fmt.Errorf("repo %s: gpg_keys: %w; put the repository's public key there, or take the file out of gpg_keys", r.Name, err))
				continue
			}
			if err := ring.Add(b); err != nil {
				errs = append(errs, fmt.Errorf("repo %s: gpg_keys: %s: %w; it should be a file of OpenPGP public keys, as repositories publish them", r.Name, name, err))
			}
		}
		rings[r.Name] = ring
	}
	if len(errs) > 0 {
		return nil, fmt.Errorf("%w:\n%w", ErrKeys, errors.Join(errs...))
	}
	return rings, nil
}

// packageChecks is what the packages of the repos with keys have to pass.
func packageChecks(rings map[string]*repodata.Keyring) map[string]*cache.Check {
	checks := make(map[string]*cache.Check, len(rings))
	for repo, ring := range rings {
		checks[repo] = &cache.Check{
			// Other keys are another check, and so would another kind of check be.
			ID:       "rpm:" + ring.ID(),
			Expected: "a package signed by one of the keys in gpg_keys of " + repo,
			Do:       ring.CheckPackage,
		}
	}
	return checks
}

// signing is how the entry file of a root has to be signed, nil not at all. A
// Debian package has no signature but its suite's, which is never left out.
func (s *Site) signing(r generation.Root) *generation.Signing {
	now := s.now.Load()
	repo, ring := now.config.Repo(r.Repo), now.rings[r.Repo]
	if repo == nil || ring == nil || repo.RepoGPGCheck == config.GPGNever {
		return nil
	}
	return &generation.Signing{
		Required: repo.RepoGPGCheck == config.GPGAlways || r.Kind == generation.Debian,
		Check:    ring.CheckDetached, Inline: ring.CheckInline,
	}
}

// ListedOnly reports whether a package of r is stored only where r's kept
// metadata lists it: its signature is the metadata's.
func (s *Site) ListedOnly(r generation.Root) bool {
	return r.Kind == generation.Debian && s.signing(r) != nil
}

// listedCheck is what a Debian package of a repo with keys has to pass: metadata
// that one of them has signed lists its digest.
func (s *Site) listedCheck(k cache.Key, ring *repodata.Keyring) *cache.Check {
	return &cache.Check{
		ID:       "deb:" + ring.ID(),
		Expected: "a package that metadata signed by one of the keys in gpg_keys of " + k.Repo + " lists; if it should be one, run apt-get update by way of this mirror first, or set repo_gpgcheck = \"never\"",
		Do: func(file io.ReaderAt, size int64) error {
			// Clients may hold metadata that was replaced, and a mirror what that lists.
			listed := s.Generations.Listings(k)
			if len(listed) == 0 {
				return fmt.Errorf("%w: no Packages file that was fetched here lists it", repodata.ErrUnsigned)
			}
			for _, w := range listed {
				if w.Size != size {
					continue
				}
				h := w.Digest.New()
				if _, err := io.Copy(h, io.NewSectionReader(file, 0, size)); err != nil {
					return err
				}
				if hex.EncodeToString(h.Sum(nil)) == w.Digest.Hex() {
					return nil
				}
			}
			return fmt.Errorf("%w: not the bytes that are listed", repodata.ErrBadSignature)
		},
	}
}

// signed reports whether a file is of a kind that carries its signature.
func signed(k cache.Key) bool {
	switch strings.ToLower(path.Ext(k.Path)) {
	case ".rpm", ".drpm":
		return true
	}
	return false
}

// listed reports whether a file is of a kind whose signature is its metadata's.
func listed(k cache.Key) bool {
	switch strings.ToLower(path.Ext(k.Path)) {
	case ".deb", ".udeb":
		return true
	}
	return false
}
