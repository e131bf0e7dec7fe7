package main

import (
	"io"

	"intelligentmirror/internal/visible"
)

// people is where the program writes what people read: names in it are anybody's.
func (p *program) people() io.Writer { return visible.Writer{W: p.stdout} }

// complaints is where it tells people what went wrong, with such names in it.
func (p *program) complaints() io.Writer { return visible.Writer{W: p.stderr} }
