package cache

import (
	"cmp"
	"slices"
)

// Download is a file that is being downloaded, or that upstream is asked for.
type Download struct {
	Key     Key
	Size    int64 // bytes; -1 where nobody knows
	There   int64 // bytes that have come
	Waiting int   // clients, and runs that fetch ahead, that want it
	Begun   bool  // bytes are coming, and not only an answer is waited for
}

// Downloads is what this process is downloading, and asking for, at this moment,
// the one that most wait for first. It waits for no disk and for no upstream.
func (c *Cache) Downloads() []Download {
	c.mu.Lock()
	fills := make([]*fill, 0, len(c.current))
	for _, f := range c.current {
		fills = append(fills, f)
	}
	c.mu.Unlock()
	list := make([]Download, 0, len(fills))
	for _, f := range fills {
		list = append(list, f.download())
	}
	slices.SortFunc(list, func(a, b Download) int {
		return cmp.Or(cmp.Compare(b.Waiting, a.Waiting), cmp.Compare(b.Size, a.Size), cmp.Compare(a.Key.String(), b.Key.String()))
	})
	return list
}

// download is how far f is.
func (f *fill) download() Download {
	f.mu.Lock()
	defer f.mu.Unlock()
	d := Download{Key: f.key, Size: -1, There: f.now.size, Waiting: f.demand.waiting, Begun: f.now.file != nil}
	if d.Begun {
		d.Size = f.now.head.Length
	}
	if f.want.Known() {
		d.Size = f.want.Size
	}
	return d
}
