package popularity

import (
	"bytes"
	"context"
	"runtime"
	"sync"
)

// blocksAhead is how many blocks may be parsed before they are counted, for
// each goroutine that parses.
const blocksAhead = 2

// pipeline parses a log's blocks side by side, and hands them out in their
// order. One goroutine reads, some parse, the caller counts.
type pipeline struct {
	ordered chan *block // in the log's order, each to be waited for
	free    chan *block
	stop    context.CancelFunc
	running sync.WaitGroup
	err     error // why there are no more blocks; valid once ordered is closed
}

// startPipeline reads and parses on, as the parsers that newParser makes do.
// close must be called.
func startPipeline(r *blockReader, newParser func() *parser) *pipeline {
	workers := max(1, runtime.GOMAXPROCS(0))
	ctx, stop := context.WithCancel(context.Background())
	blocks := blocksAhead * workers
	p := &pipeline{ordered: make(chan *block, blocks), free: make(chan *block, blocks), stop: stop}
	todo := make(chan *block, blocks)
	for range blocks {
		p.free <- &block{done: make(chan struct{}, 1)}
	}
	p.running.Go(func() {
		defer close(p.ordered)
		defer close(todo)
		for {
			var b *block
			select {
			case b = <-p.free:
			case <-ctx.Done():
				p.err = ctx.Err()
				return
			}
			if p.err = r.next(b); p.err != nil {
				return
			}
			// Both have room for all blocks there are.
			p.ordered <- b
			todo <- b
		}
	})
	for range workers {
		p.running.Go(func() {
			parser := newParser()
			for b := range todo {
				parser.block(b)
				b.done <- struct{}{}
			}
		})
	}
	return p
}

// next returns the next block, parsed; it is valid until it is given to
// release. nil is the end, and then err says why.
func (p *pipeline) next() *block {
	b, ok := <-p.ordered
	if !ok {
		return nil
	}
	<-b.done
	return b
}

func (p *pipeline) release(b *block) { p.free <- b }

// close ends all goroutines.
func (p *pipeline) close() {
	p.stop()
	p.running.Wait()
}

// parsed is what counting has to know of a line.
type parsed struct {
	end    int    // of the line with its newline, in block.buf
	client []byte // an address or a host name, in any spelling
	target []byte // as in entry
	// What the two are remembered by, where they are needed.
	clientKey, targetKey memoKey
	at                   int64 // seconds since 1970
	bytes                int64
	format               format // formatNone: the line could not be parsed
	why                  reason // reasonNone: it counts, if its target does
	// missing is set if the client was told that there is no such file.
	missing bool
}

// block parses the lines of b.
func (p *parser) block(b *block) {
	b.parsed = b.parsed[:0]
	p.arena = b.arena[:0]
	var e entry
	for at := b.start; at < len(b.buf); {
		line := b.buf[at:]
		line = line[:bytes.IndexByte(line, '\n')]
		at += len(line) + 1
		b.parsed = append(b.parsed, parsed{end: at})
		l := &b.parsed[len(b.parsed)-1]
		if len(line) > maxLine {
			l.why = reasonTooLong
			continue
		}
		if l.why = p.parse(line, &e); l.why != reasonNone {
			continue
		}
		l.format, l.at, l.bytes, l.target = e.format, e.at, e.bytes, e.target
		l.client = p.clientOf(&e)
		l.why = p.counts(&e)
		l.missing = l.why == reasonStatus && (e.status == 404 || e.status == 410)
		if l.why == reasonNone || l.missing {
			l.clientKey, l.targetKey = p.seeds.key(l.client), p.seeds.key(l.target)
		}
	}
	b.arena = p.arena
}
