package upstream

import (
	"errors"
	"testing"
	"time"
)

// TestRepomd: which repomd.xml is taken, and from whom, with a metalink.
func TestRepomd(t *testing.T) {
	for _, tt := range []struct {
		name string
		then func(*listed) // after the first one was stored
		want string
		// asked is how often the upstream, the mirror and the server of lists were.
		asked []int
	}{
		{"nothing new", func(*listed) {}, oneXML, []int{1, 0, 0}},
		{"a new one that is listed", func(l *listed) {
			l.publish(thePath, twoXML)
			l.list(twoXML)
		}, twoXML, []int{1, 0, 1}}, // ours of the metalink was older
		{"an alternate", func(l *listed) {
			l.publish(thePath, twoXML)
			l.list(threeXML, twoXML, oneXML)
		}, twoXML, []int{1, 0, 1}},
		{"a mirror that lies", func(l *listed) { l.put(l.up, thePath, twoXML) }, oneXML, []int{1, 1, 1}},
		{"a mirror that lies, while another has a new one", func(l *listed) {
			l.put(l.up, thePath, twoXML)
			l.put(l.mirror, thePath, threeXML)
			l.list(threeXML, oneXML)
		}, threeXML, []int{1, 1, 1}},
		{"all lie", func(l *listed) { l.publish(thePath, twoXML) }, oneXML, []int{1, 1, 1}},
		{"a mirror that has not moved from what is no longer listed", func(l *listed) {
			l.put(l.mirror, thePath, twoXML)
			l.list(twoXML)
			l.clock.pass(listMaxAge)
			l.get(theRoot+"/a.rpm", "a", 1, 0, 1) // lets the list come
		}, twoXML, []int{1, 1, 0}},
		{"the metalink is away, and of today", func(l *listed) {
			l.publish(thePath, twoXML)
			l.lists.Stop()
			l.clock.pass(listTrust - 2*time.Minute)
		}, oneXML, []int{1, 1, 0}},
		{"the metalink is away, and of yesterday", func(l *listed) {
			l.publish(thePath, twoXML)
			l.lists.Stop()
			l.clock.pass(listTrust)
		}, twoXML, []int{1, 0, 0}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newListed(t)
			l.publish(thePath, oneXML)
			l.publish(theRoot+"/a.rpm", "a")
			l.list(oneXML)
			l.open()
			l.get(thePath, oneXML, 1, 0, 1)
			l.clock.pass(time.Minute)
			tt.then(l)
			l.get(thePath, tt.want, tt.asked...)
		})
	}
}

// TestRepomdOfNobody: where nothing is stored, nothing wrong is handed out either.
func TestRepomdOfNobody(t *testing.T) {
	l := newListed(t)
	l.publish(thePath, twoXML)
	l.publish(theRoot+"/a.rpm", "a")
	l.list(oneXML)
	l.open()
	l.get(theRoot+"/a.rpm", "a", 1, 0, 1)
	if got, err := fetch(t, l.cache, thePath); err == nil || !errors.Is(err, errRefused) {
		t.Errorf("%q, %v", got, err)
	}
}
