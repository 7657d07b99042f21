package config

// Field is one field of the reference.
type Field struct {
	Path      string // as in rules[].rateLimit.rate
	Type      string
	Default   string
	Bounds    string
	Enum      []string
	Later     bool     // the whole field is not supported yet
	LaterEnum []string // these values are not
	Required  bool
	Class     Class
	Doc       string
}

// Fields are all fields of the manifest, of policy files and of tokens, from the types.
func Fields() []Field { return nil }
