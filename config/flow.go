package config

// The YAML parser holds all tokens of a { } or [ ] that might turn out to be a key, some 500 bytes for each byte of the
// file. So a file that is one { } or [ ], as JSON is, gets a prefix that says that it is none, and within the others
// the brackets and commas are bounded before the parser sees them.
const (
	flowPrefix   = "--- "
	maxFlowMarks = 2000
)

func isFlow(data []byte) bool { return len(data) > 0 && (data[0] == '{' || data[0] == '[') }

// flowCounter counts the brackets and commas of one entry. It knows YAML well enough not to be fooled by quotes and
// comments inside of { } and [ ]; outside of them it begins anew with each entry.
type flowCounter struct {
	entryDepth int // inside of which an entry begins: two for {"rules": [ … ]}
	depth      int
	marks      int
	quote      byte
	escaped    bool
	comment    bool
	before     byte
	solid      byte // the last that is no blank
	lineStart  bool // only blanks so far
	dash       bool // a dash begins the line
}

func newFlowCounter(data []byte) *flowCounter {
	c := &flowCounter{lineStart: true, before: ' '}
	if isFlow(data) {
		c.entryDepth = 2
	}
	return c
}

// add counts one byte; false when it is a mark too many.
func (c *flowCounter) add(b byte) bool {
	before, solid := c.before, c.solid
	if c.before = b; b != ' ' && b != '\n' && b != '\t' && b != '\r' {
		c.solid = b
	}
	switch {
	case b == '\n' && c.quote == 0 && !c.dash:
		c.comment, c.lineStart = false, true
		return true
	case c.comment:
		return true
	case c.quote != 0:
		c.quoted(b)
		return true
	}
	if c.dash && (b == ' ' || b == '\n') && c.entryDepth == 0 {
		c.depth, c.marks = 0, 0
	}
	c.dash = c.lineStart && b == '-'
	c.lineStart = b == '\n' || (c.lineStart && b == ' ')
	switch b {
	case '#':
		c.comment = before == ' ' || before == '\n' || before == '\t'
	case '"', '\'':
		if c.depth > 0 && (solid == ':' || isMark(solid)) {
			c.quote = b
		}
	case '{', '[':
		c.depth++
	case '}', ']':
		c.depth = max(c.depth-1, 0)
	}
	if c.depth <= c.entryDepth {
		c.marks = 0
	} else if isMark(b) {
		c.marks++
	}
	return c.marks <= maxFlowMarks
}

func (c *flowCounter) quoted(b byte) {
	switch {
	case c.escaped:
		c.escaped = false
	case b == '\\' && c.quote == '"':
		c.escaped = true
	case b == c.quote:
		c.quote = 0
	}
}

func isMark(b byte) bool { return b == '{' || b == '}' || b == '[' || b == ']' || b == ',' }
