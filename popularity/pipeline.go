package popularity

import (
	"bytes"
	"context"
	"runtime"
	"slices"
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

// parsed is what counting has to know of a line. There are a thousand in a block,
// so they are kept small.
type parsed struct {
	at    int64 // seconds since 1970
	bytes int64
	end   uint32 // of the line with its newline, in block.buf
	// The target's packed verdict and, of a package, the client as an index in
	// batch.clients; unless stranger is set: that is where both stand in
	// block.strangers, from 1.
	client, target uint32
	stranger       uint32
	format         format // formatNone: the line could not be parsed
	why            reason // reasonNone: it counts, if its target does
	// missing is set if the client was told that there is no such file. It is a
	// stranger.
	missing bool
}

// asking is the client and the target of a line, with what they are remembered by.
type asking struct {
	client []byte // an address or a host name, in any spelling
	target []byte // as in entry

	clientKey, targetKey memoKey
}

// stranger is what a line asks for of which not all is remembered.
type stranger struct {
	asking
	finding finding // of the target
	judged  bool    // finding is set
}

// block parses the lines of b, and looks up what they ask for.
func (p *parser) block(b *block) {
	b.parsed, b.strangers = b.parsed[:0], b.strangers[:0]
	b.memory = p.memory.Load()
	p.arena = b.arena[:0]
	p.wanted = p.wanted[:0]
	var e entry
	for at := b.start; at < len(b.buf); {
		line := b.buf[at:]
		line = line[:bytes.IndexByte(line, '\n')]
		at += len(line) + 1
		b.parsed = append(b.parsed, parsed{end: uint32(at)})
		l := &b.parsed[len(b.parsed)-1]
		if len(line) > maxLine {
			l.why = reasonTooLong
			continue
		}
		if l.why = p.parse(line, &e); l.why != reasonNone {
			continue
		}
		l.format, l.at, l.bytes = e.format, e.at, e.bytes
		l.why = p.counts(&e)
		l.missing = l.why == reasonStatus && (e.status == 404 || e.status == 410)
		if l.why == reasonNone || l.missing {
			client, target := p.clientOf(&e), e.target
			p.wanted = append(p.wanted, wanted{
				asking{client, target, b.memory.seeds.key(client), b.memory.seeds.key(target)}, uint32(len(b.parsed) - 1)})
		}
	}
	b.arena = p.arena
	for some := range slices.Chunk(p.wanted, lookUps) {
		p.lookUp(b, some)
	}
}

// wanted is a client and a target that are to be looked up for the line at index line
// of block.parsed.
type wanted struct {
	asking
	line uint32
}

// lookUps is how many lines are looked up at a time. What is remembered of a target
// mostly lies in no cache: the processor waits for many of them at once, where it
// would wait for one after the other between the parsing of lines.
const lookUps = 64

// lookUp finds the clients and targets of lines, or makes them strangers.
func (p *parser) lookUp(b *block, some []wanted) {
	m := b.memory
	for i := range some {
		m.targets.touch(some[i].targetKey)
	}
	for i := range some {
		w := &some[i]
		l := &b.parsed[w.line]
		var judged bool
		if !l.missing {
			var known bool
			l.client, known = m.addresses.get(w.clientKey)
			l.target, judged = m.targets.get(w.targetKey)
			if judged && (known || unpackVerdict(l.target).kind != kindPackage) {
				continue
			}
		}
		s := stranger{asking: w.asking}
		if !judged && !l.missing && p.placer != nil {
			s.finding, s.judged = p.placer.find(string(w.target)), true
		}
		b.strangers = append(b.strangers, s)
		l.stranger = uint32(len(b.strangers))
	}
}
