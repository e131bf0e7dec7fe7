package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// becomeOwner makes root's process that of whoever has the directories, for good: what
// root had made there by hand the services could not write any more, so that the next
// night's run would fail, and imserve store nothing that came in root's own folders.
// It changes nothing where ownerOf knows of nobody.
func becomeOwner(dirs ...string) error {
	uid, gid, ok, err := ownerOf(dirs...)
	if err != nil || !ok {
		return err
	}
	groups := []int{gid}
	// A user whom no list of users has, as in a container, has the directory's group alone.
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		if gid, groups, err = groupsOf(u); err != nil {
			return fmt.Errorf("find the groups of %s: %w", u.Username, err)
		}
	}
	if err := errors.Join(syscall.Setgroups(groups), syscall.Setgid(gid), syscall.Setuid(uid)); err != nil {
		return fmt.Errorf("go on as user %d, who has %s: %w", uid, dirs[0], err)
	}
	return nil
}

// ownerOf is the one user, not root, who has all of the directories that are there; ok
// is false where there is none: root has one of them, or two users do. gid is the
// group of the first.
func ownerOf(dirs ...string) (uid, gid int, ok bool, err error) {
	for _, dir := range dirs {
		fi, err := os.Stat(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return 0, 0, false, err
		}
		st, known := fi.Sys().(*syscall.Stat_t)
		if !known || st.Uid == 0 || ok && int(st.Uid) != uid {
			return 0, 0, false, nil
		}
		if !ok {
			uid, gid, ok = int(st.Uid), int(st.Gid), true
		}
	}
	return uid, gid, ok, nil
}

// groupsOf is a user's own group, and all of them.
func groupsOf(u *user.User) (gid int, all []int, err error) {
	if gid, err = strconv.Atoi(u.Gid); err != nil {
		return 0, nil, err
	}
	names, err := u.GroupIds()
	if err != nil {
		return 0, nil, err
	}
	for _, name := range names {
		id, err := strconv.Atoi(name)
		if err != nil {
			return 0, nil, err
		}
		all = append(all, id)
	}
	return gid, all, nil
}

// places are the directories by which becomeOwner knows whose the cache is. Who has run the
// programs as root, in folders of another user, has folders of root's in them, and goes on so.
func places(cacheDir, stateDir string) []string {
	return []string{cacheDir, filepath.Join(cacheDir, ".im"), stateDir}
}
