package serve

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/config"
)

// SquidHelperOptions are what a SquidHelper needs. Mirror is, unless StoreID is set.
type SquidHelperOptions struct {
	// Config says which URLs are which repositories'; nil leaves all URLs alone.
	Config *config.Config
	// Mirror is the address, http://HOST:PORT, at which imserve answers squid, and
	// tells the helper that it is ready.
	Mirror *url.URL
	// StoreID has the helper be squid's store_id_program, in place of its
	// url_rewrite_program.
	StoreID bool
	Dial    func(ctx context.Context, network, address string) (net.Conn, error) // to Mirror; nil is a net.Dialer's
	Now     func() time.Time                                                     // nil is time.Now
	Log     *slog.Logger                                                         // nil discards
}

// SquidHelper answers squid's questions about URLs: one at a time, in the order in
// which they come, from memory.
//
// As url_rewrite_program it says where imserve has a repository's file, as long as
// imserve is ready; as store_id_program it gives a repository's packages one name,
// whatever mirror they are asked of, and needs no imserve. All else is left alone.
type SquidHelper struct {
	o     SquidHelperOptions
	watch *squidWatch
	bad   seldom[string] // lines, by what is wrong with them
}

// NewSquidHelper returns a SquidHelper.
func NewSquidHelper(o SquidHelperOptions) *SquidHelper {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	h := &SquidHelper{o: o, bad: seldom[string]{now: o.Now}}
	if o.Mirror != nil && o.Config != nil {
		h.watch = newSquidWatch(o.Mirror, o.Dial, o.Log)
	}
	return h
}

const (
	// maxSquidLine bounds a line, in bytes; squid's own URLs have 8 KiB at most.
	maxSquidLine = 64 << 10
	// firstWord is how long the first question waits for what is known of imserve:
	// not to send the first clients past it after each squid -k reconfigure.
	firstWord = time.Second
)

// Run answers the lines of in until its end, or until out takes no more; ctx ends
// what goes on beside. What comes in together is answered together; no answer waits
// for a line that is yet to come.
func (h *SquidHelper) Run(ctx context.Context, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if h.watch != nil {
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			h.watch.run(ctx)
		}()
		defer func() { cancel(); <-ended }()
		if !h.o.StoreID {
			h.watch.await(ctx, firstWord)
		}
	}
	lines := bufio.NewReaderSize(in, maxSquidLine)
	var answers []byte
	for {
		line, err := nextLine(lines)
		switch {
		case errors.Is(err, io.EOF):
			return nil // what is left has no end, and squid waits for no answer to it
		case err != nil && !errors.Is(err, errLongLine):
			return fmt.Errorf("read squid's questions: %w", err)
		}
		answers = h.answer(answers, line, err)
		if waiting, _ := lines.Peek(lines.Buffered()); bytes.IndexByte(waiting, '\n') >= 0 && len(answers) < maxSquidLine {
			continue
		}
		if _, err := out.Write(answers); err != nil {
			return fmt.Errorf("answer squid: %w", err)
		}
		answers = answers[:0]
	}
}

// nextLine is the next line without its newline, good until the next call. Of one
// that is too long (errLongLine) it is the beginning.
func nextLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return bytes.TrimSuffix(line, []byte("\n")), err
	}
	begin := bytes.Clone(line[:64]) // a channel has room in it
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = r.ReadSlice('\n')
	}
	if err == nil {
		err = errLongLine
	}
	return begin, err
}

// answer appends the answer to a line; long is errLongLine where it is too long.
func (h *SquidHelper) answer(b, line []byte, long error) []byte {
	r, err := parseSquidLine(line)
	if long != nil {
		err = long
	}
	if err != nil {
		if h.bad.due(err.Error()) {
			h.o.Log.Warn("squid sent what is no question: answered with BH, the request stays as it is",
				"error", err, "line", string(line[:min(len(line), maxField)]))
		}
		return appendSquidAnswer(b, r.channel, squidBH, "message", err.Error())
	}
	key, to := "rewrite-url", ""
	if h.o.StoreID {
		key, to = "store-id", h.storeID(&r)
	} else {
		to = h.rewritten(&r)
	}
	if to == "" {
		return appendSquidAnswer(b, r.channel, squidERR, "", "")
	}
	return appendSquidAnswer(b, r.channel, squidOK, key, to)
}

// rewritten is where imserve has what is asked for, "" where squid is to go on by itself.
func (h *SquidHelper) rewritten(r *squidRequest) string {
	if h.watch == nil || r.method != "" && r.method != http.MethodGet && r.method != http.MethodHead {
		return ""
	}
	m := h.watch.now()
	if !m.ready {
		return ""
	}
	k, _, ok := h.fileOf(r.url, m)
	if !ok || !m.has(k.Repo) {
		return ""
	}
	// It must not be an address that imserve takes for another repository's.
	path := "/" + k.Repo + "/" + k.EscapedPath()
	if repo, _, ok := h.o.Config.Resolve("", path); !ok || repo != k.Repo {
		return ""
	}
	return "http://" + h.o.Mirror.Host + path
}

// squidStore is what a store id begins with: an address that is nobody's, of the
// domain that squid's documentation has for them.
const squidStore = "http://imserve.squid.internal/"

// storeID is the one name of a file that mirrors of a repository have in common, ""
// for what is no such file: metadata that changes under its name is each mirror's own.
func (h *SquidHelper) storeID(r *squidRequest) string {
	m := &imserveState{}
	if h.watch != nil {
		m = h.watch.now()
	}
	k, class, ok := h.fileOf(r.url, m)
	if !ok || class != config.Package && !namedByDigest(k.Path) {
		return ""
	}
	return squidStore + k.Repo + "/" + k.EscapedPath()
}

// fileOf is the repository's file that a URL is, ok is false for what is none of
// our business.
func (h *SquidHelper) fileOf(address string, m *imserveState) (k cache.Key, class config.Class, ok bool) {
	if h.o.Config == nil || !strings.HasPrefix(address, "http") || strings.ContainsAny(address, "?#") {
		return k, class, false
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
		return k, class, false
	}
	host, port, ok := hostPort(u.Host, usualPort(u.Scheme))
	path, clean := cleanPath(u.EscapedPath())
	if !ok || !clean {
		return k, class, false
	}
	named := hostText(host, port, u.Scheme)
	repo, rest, ok := h.o.Config.Resolve(named, path)
	if !ok {
		repo, rest, ok = m.learnt.Find(named, path)
	}
	if !ok || h.o.Config.Repo(repo) == nil {
		return k, class, false
	}
	if k, err = cache.NewKey(repo, rest); err != nil {
		return k, class, false
	}
	class = h.o.Config.Serve.Classify("/" + k.String())
	return k, class, class != config.Other
}

// SquidMirror is the address at which squid, on the same machine, reaches the mirror
// that c describes; the error says why there is none.
func SquidMirror(c *config.Serve) (*url.URL, error) {
	i := slices.IndexFunc(c.Listen, func(a config.Address) bool { return a.Plain || c.TLSCert == "" })
	if i < 0 {
		return nil, errors.New("serve.listen has no address for http without TLS; add one such as \"http://127.0.0.1:3180\"")
	}
	host, port, err := net.SplitHostPort(c.Listen[i].HostPort)
	if err != nil {
		return nil, fmt.Errorf("serve.listen: %w", err)
	}
	if host == "" || host == "0.0.0.0" || host == "::" {
		host = "127.0.0.1"
	}
	return &url.URL{Scheme: "http", Host: net.JoinHostPort(host, port)}, nil
}
