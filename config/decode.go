package config

// DecodeManifest reads a manifest. All problems are reported at once; the manifest is usable only without errors among
// them. file is what positions say, env looks up ${VAR} (nil: none is set).
func DecodeManifest(file string, data []byte, env func(string) (string, bool)) (*Manifest, Problems) {
	return nil, nil
}

// DecodeRules reads a policy file.
func DecodeRules(file string, data []byte, env func(string) (string, bool)) ([]Rule, Problems) {
	return nil, nil
}

// DecodeTokens reads a file of tokens.
func DecodeTokens(file string, data []byte, env func(string) (string, bool)) ([]Token, Problems) {
	return nil, nil
}

// Decode decodes the options into the value that into points to; fields that are not written keep their value.
func (o RawOptions) Decode(into any) Problems { return nil }

// Equal tells that both say the same, whatever their order and spelling.
func (o RawOptions) Equal(other RawOptions) bool { return false }

// Validate finds what can be known to be wrong without the registry: duplicates, bounds, references.
func (s *Set) Validate() Problems { return nil }
