package upstream

import "intelligentmirror/internal/cache"

// Public are the URLs at which the repository's upstreams, and the mirrors that its
// lists name, have the file k, in the order in which they are asked. It begins to
// fetch the list where that is missing or old, and does not wait for it.
func (m *Mirrors) Public(k cache.Key) (urls []string) {
	for _, x := range m.places(k)[len(m.first):] {
		urls = append(urls, x.url(k))
	}
	return urls
}
