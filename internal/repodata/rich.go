package repodata

import (
	"errors"
	"fmt"
	"strings"
)

// Op joins the operands of a boolean dependency.
type Op string

// The operators, as rpm spells them. Else has none: it is a third operand.
const (
	OpNone    Op = ""
	OpAnd     Op = "and"     // all operands
	OpOr      Op = "or"      // any operand
	OpIf      Op = "if"      // operand 0, if operand 1 is met; else operand 2 if there is one
	OpUnless  Op = "unless"  // operand 0, if operand 1 is not met; else operand 2 if there is one
	OpWith    Op = "with"    // all operands, met by one and the same package
	OpWithout Op = "without" // operand 0, met by a package that does not meet operand 1
)

// Rich is a boolean dependency, such as `(foo >= 2 if (bar or baz) else quux)`,
// as a tree. With OpNone it is the plain dependency Dep and has no operands; with
// any other operator Dep is zero and there are at least two.
type Rich struct {
	Op       Op
	Dep      Dep
	Operands []Rich
}

// maxRichDepth bounds how deep parentheses may stand inside each other.
const maxRichDepth = 32

// IsRich reports whether the name of a Dep is a boolean dependency.
func IsRich(name string) bool { return strings.HasPrefix(name, "(") }

// ParseRich parses the name of a Dep for which IsRich holds. It knows rpm's
// grammar, but not which operators rpm allows inside of which.
func ParseRich(name string) (Rich, error) {
	p := richParser{rest: name}
	r, err := p.group(1)
	if err == nil && p.rest != "" {
		err = errors.New("something follows the closing parenthesis")
	}
	if err != nil {
		return Rich{}, fmt.Errorf("boolean dependency %.200q: %w", name, err)
	}
	return r, nil
}

// String is the dependency as rpm writes it.
func (r Rich) String() string {
	s := r.expr()
	if r.Op == OpNone {
		return "(" + s + ")"
	}
	return s
}

func (r Rich) expr() string {
	if r.Op == OpNone {
		s := r.Dep.Name
		if r.Dep.Flags != "" {
			s += " " + flagSigns[r.Dep.Flags] + " " + r.Dep.EVR.String()
		}
		return s
	}
	var b strings.Builder
	for i, o := range r.Operands {
		switch {
		case i == 0:
			b.WriteString("(")
		case i == 2 && r.takesElse():
			b.WriteString(" else ")
		default:
			b.WriteString(" " + string(r.Op) + " ")
		}
		b.WriteString(o.expr())
	}
	return b.String() + ")"
}

// takesElse reports whether an `else` may follow.
func (r Rich) takesElse() bool { return r.Op == OpIf || r.Op == OpUnless }

// flagSigns is how rpm writes the flags of a dependency.
var flagSigns = map[string]string{"EQ": "=", "LT": "<", "LE": "<=", "GT": ">", "GE": ">="}

// signFlags is how rpm reads them.
var signFlags = map[string]string{
	"=": "EQ", "==": "EQ", "<": "LT", "<=": "LE", "=<": "LE", ">": "GT", ">=": "GE", "=>": "GE",
}

// richParser holds what is left to parse.
type richParser struct {
	rest string
}

// group parses `(` operand [operator operand]... `)`.
func (p *richParser) group(depth int) (Rich, error) {
	if depth > maxRichDepth {
		return Rich{}, fmt.Errorf("more than %d parentheses inside each other", maxRichDepth)
	}
	if !strings.HasPrefix(p.rest, "(") {
		return Rich{}, errors.New("no opening parenthesis")
	}
	p.rest = p.rest[1:]
	first, err := p.operand(depth)
	if err != nil {
		return Rich{}, err
	}
	r := Rich{Operands: []Rich{first}}
	for {
		p.skipSpace()
		if strings.HasPrefix(p.rest, ")") {
			p.rest = p.rest[1:]
			break
		}
		if err := p.operator(&r); err != nil {
			return Rich{}, err
		}
		next, err := p.operand(depth)
		if err != nil {
			return Rich{}, err
		}
		r.Operands = append(r.Operands, next)
	}
	if r.Op == OpNone {
		return first, nil // parentheses around a single operand
	}
	return r, nil
}

// operator reads the next operator of r.
func (p *richParser) operator(r *Rich) error {
	word := p.word()
	switch op := Op(word); op {
	case "":
		return errors.New("a closing parenthesis is missing")
	case OpAnd, OpOr, OpWith:
		if r.Op != OpNone && r.Op != op {
			return fmt.Errorf("`%s` and `%s` without parentheses between them", r.Op, op)
		}
		r.Op = op
	case OpIf, OpUnless, OpWithout:
		if r.Op != OpNone {
			return fmt.Errorf("`%s` behind `%s` without parentheses", op, r.Op)
		}
		r.Op = op
	case "else":
		if !r.takesElse() || len(r.Operands) != 2 {
			return errors.New("`else` without `if` or `unless`")
		}
	default:
		return fmt.Errorf("unknown operator %.50q", word)
	}
	return nil
}

// operand parses a group or a plain dependency.
func (p *richParser) operand(depth int) (Rich, error) {
	p.skipSpace()
	if strings.HasPrefix(p.rest, "(") {
		return p.group(depth + 1)
	}
	var r Rich
	if r.Dep.Name = p.word(); r.Dep.Name == "" {
		return Rich{}, errors.New("a dependency is missing")
	}
	if !balanced(r.Dep.Name) {
		return Rich{}, fmt.Errorf("a parenthesis in %.100q is not closed", r.Dep.Name)
	}
	p.skipSpace()
	ahead := *p
	flags, ok := signFlags[ahead.word()]
	if !ok {
		return r, nil
	}
	ahead.skipSpace()
	version := ahead.word()
	r.Dep.Flags, r.Dep.EVR = flags, ParseEVR(version)
	if r.Dep.EVR.Version == "" || !balanced(version) {
		return Rich{}, fmt.Errorf("%.100q is no version for %.100q", version, r.Dep.Name)
	}
	*p = ahead
	return r, nil
}

// skipSpace skips what rpm takes for space between words; commas are.
func (p *richParser) skipSpace() {
	p.rest = strings.TrimLeft(p.rest, " \t\n\v\f\r,")
}

// word takes the next word: up to white space, a comma, or a closing parenthesis
// that the word itself has not opened (as `libfoo()(64bit)` does).
func (p *richParser) word() string {
	open := 0
	for i, c := range []byte(p.rest) {
		end := false
		switch c {
		case ' ', '\t', '\n', '\v', '\f', '\r', ',':
			end = true
		case '(':
			open++
		case ')':
			end = open == 0
			open--
		}
		if end {
			w := p.rest[:i]
			p.rest = p.rest[i:]
			return w
		}
	}
	w := p.rest
	p.rest = ""
	return w
}

// balanced reports whether a word closes the parentheses that it opens. It never
// closes more.
func balanced(word string) bool {
	return strings.Count(word, "(") == strings.Count(word, ")")
}
