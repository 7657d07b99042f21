// Package config holds what a host is told: the types of the manifest, of the rules and of the tokens, how they are
// decoded from YAML, what makes them valid, and how two sets of them differ.
//
// The struct tags of the types are the single source: yaml is the key; default, min, max, enum and required say what
// is accepted; reload is the class of a change (inherited by what lies inside); later marks what is parsed and, when
// written, refused as not supported yet; doc is the sentence of the reference.
package config
