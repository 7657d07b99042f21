package lint

// Codes about the text of files.
const (
	Unreadable   Code = "EM101"
	NotYAML      Code = "EM102"
	WrongFile    Code = "EM103"
	UnknownKey   Code = "EM104"
	DuplicateKey Code = "EM105"
	MissingKey   Code = "EM106"
	WrongType    Code = "EM107"
	NotAccepted  Code = "EM108"
	NoValue      Code = "EM109"
	BadVariable  Code = "EM110"
	NotSupported Code = "EM111"
	BadTest      Code = "EM112"
)

var syntaxPages = []Page{
	{
		Code: Unreadable, Title: "a file cannot be read",
		Text: "The file does not exist, may not be read, is not a regular file, or is larger than the limit.",
		Fix:  "Correct the path, which is relative to the folder of the manifest, or the permissions of the file.",
		Bad:  "services: [{name: Arith, handler: samples.arith}]\npolicies: {files: [no-such-file.yaml]}",
		Good: "services: [{name: Arith, handler: samples.arith}]\npolicies: {files: [policies.yaml]}",
	},
	{
		Code: NotYAML, Title: "invalid YAML",
		Text: "The text is not YAML, or uses a part of YAML that easymicro does not accept: merge keys, unknown tags, deep nesting.",
		Fix:  "Correct the line. Errors of indentation are often in the line above.",
		Bad:  "rules: [{name: slow, match: {service: Arith}, timeout: 1s}",
		Good: "rules: [{name: slow, match: {service: Arith}, timeout: 1s}]",
	},
	{
		Code: WrongFile, Title: "empty, or another kind of file",
		Text: "The file has no content, or it is a file of another kind, such as a manifest among policy files.",
		Fix:  "Write the top-level key of its kind, or list the file where its kind belongs. A file without rules reads `rules: []`.",
		Bad:  "# rules: nothing but a comment",
		Good: "rules: []",
	},
	{
		Code: UnknownKey, Title: "unknown key",
		Text: "No field has this name. Names are in camel case, and case matters.",
		Fix:  "Use the suggested name. REFERENCE.md and `easymicro schema` list all fields.",
		Bad:  "rules: [{name: slow, match: {service: Arith}, rateLimit: {raet: 5}}]",
		Good: "rules: [{name: slow, match: {service: Arith}, rateLimit: {rate: 5}}]",
	},
	{
		Code: DuplicateKey, Title: "duplicate key",
		Text: "A mapping has a key twice, so one of the values would be lost.",
		Fix:  "Remove one of them.",
		Bad:  "rules:\n  - name: slow\n    match: {service: Arith}\n    timeout: 1s\n    timeout: 2s",
		Good: "rules:\n  - name: slow\n    match: {service: Arith}\n    timeout: 2s",
	},
	{
		Code: MissingKey, Title: "a required key is missing",
		Text: "A field without a default is not set.",
		Fix:  "Add it.",
		Bad:  "rules: [{name: slow, timeout: 1s}]",
		Good: "rules: [{name: slow, match: {service: Arith}, timeout: 1s}]",
	},
	{
		Code: WrongType, Title: "wrong type, form or unit",
		Text: "The value does not have the form of its field: another type, no unit, a negative duration, a rate of zero. Durations and sizes always have a unit.",
		Fix:  "Write the value as the message says, for example 500ms or 4MiB.",
		Bad:  "rules: [{name: slow, match: {service: Arith}, timeout: 800}]",
		Good: "rules: [{name: slow, match: {service: Arith}, timeout: 800ms}]",
	},
	{
		Code: NotAccepted, Title: "value out of bounds",
		Text: "The value has the right type, but is out of the bounds of its field, or not one of the words that it accepts.",
		Fix:  "Choose a value that the message names.",
		Bad:  "rules: [{name: slow, match: {service: Arith}, mode: shadwo, timeout: 1s}]",
		Good: "rules: [{name: slow, match: {service: Arith}, mode: shadow, timeout: 1s}]",
	},
	{
		Code: NoValue, Title: "a key without a value",
		Text: "A key has no value, or an empty list that would match nothing.",
		Fix:  "Write a value, or leave the key out for its default.",
		Bad:  "rules: [{name: slow, match: {service: Arith}, timeout: }]",
		Good: "rules: [{name: slow, match: {service: Arith}, timeout: 1s}]",
	},
	{
		Code: BadVariable, Title: "a variable is not set",
		Text: "`${NAME}` is not set and has no default, or is not closed.",
		Fix:  "Set the variable, or give a default: `${NAME:-1s}`. A literal `${` is written `$${`.",
		Bad:  "rules: [{name: slow, match: {service: Arith}, timeout: \"${NO_SUCH_VARIABLE}\"}]",
		Good: "rules: [{name: slow, match: {service: Arith}, timeout: \"${NO_SUCH_VARIABLE:-1s}\"}]",
	},
	{
		Code: NotSupported, Title: "not supported yet",
		Text: "The field is planned. A field that had no effect would be worse than an error.",
		Fix:  "Leave it out.",
		Bad:  "services: [{name: Arith, handler: samples.arith}]\npolicies: {etcd: {cluster: main, prefix: /policies}}",
		Good: "services: [{name: Arith, handler: samples.arith}]",
	},
	{
		Code: BadTest, Title: "a policy test that tests nothing",
		Text: "A file of policy tests has a case without calls or expectations, or one that contradicts itself.",
		Fix:  "Write what the case expects. `easymicro test` runs such files.",
		Bad:  "cases: []",
		Good: "cases: [{name: one call passes, calls: [{to: Arith.Mul}], expect: {OK: 1}}]",
	},
}
