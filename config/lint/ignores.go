package lint

// Codes about comments that ignore problems.
const (
	BadIgnore     Code = "EM120"
	UnknownIgnore Code = "EM121"
	ErrorIgnore   Code = "EM122"
	IdleIgnore    Code = "EM123"
	EndedIgnore   Code = "EM124"
)

var ignorePages = []Page{
	{
		Code: BadIgnore, Title: "a malformed ignore", Warning: true,
		Text: "A comment that begins with `easymicro: ignore`, or with misspelt words like these and a code, has another form than " +
			"`# easymicro: ignore EM304 until 2027-01-01 because REASON`. It ignores nothing. Date and reason are required.",
		Fix:  "Complete the comment.",
		Bad:  "rules:\n  - {name: x, match: {service: Elsewhere}, timeout: 1s} # easymicro: ignore EM220",
		Good: "rules:\n  - {name: x, match: {service: Elsewhere}, timeout: 1s} # easymicro: ignore EM220 until 2190-01-01 because Elsewhere is on other hosts",
	},
	{
		Code: UnknownIgnore, Title: "an ignore of an unknown code", Warning: true,
		Text: "No problem has this code in this version of easymicro.",
		Fix:  "Correct the code: `easymicro validate --explain all` lists them.",
		Bad:  "rules:\n  - {name: x, match: {service: Arith}, timeout: 1s} # easymicro: ignore EM999 until 2190-01-01 because of a typing error",
		Good: "rules:\n  - {name: x, match: {service: Arith}, timeout: 1s}",
	},
	{
		Code: ErrorIgnore, Title: "an ignore of an error",
		Text: "Only warnings can be ignored. A set with errors is never applied, so hiding one would not help.",
		Fix:  "Remove the comment, and fix the error if there is one.",
		Bad:  "rules:\n  - {name: x, match: {service: Arith}, timeout: 1s} # easymicro: ignore EM104 until 2190-01-01 because it is only a key",
		Good: "rules:\n  - {name: x, match: {service: Arith}, timeout: 1s}",
	},
	{
		Code: IdleIgnore, Title: "an ignore that matches nothing", Warning: true,
		Text: "The line has no problem with this code, so the comment might hide a later one.",
		Fix:  "Remove the comment, or move it to the line that the warning names, or alone onto the line above it.",
		Bad:  "rules:\n  - {name: x, match: {service: Arith}, timeout: 1s} # easymicro: ignore EM304 until 2190-01-01 because the upstream is slow",
		Good: "rules:\n  - {name: x, match: {service: Arith}, timeout: 1s}",
	},
	{
		Code: EndedIgnore, Title: "an ignore that has expired", Warning: true,
		Text: "The date in the comment has passed, so the warning is shown again.",
		Fix:  "Fix what the warning reports, or set a later date.",
		Bad:  "rules:\n  - {name: x, match: {service: Elsewhere}, timeout: 1s} # easymicro: ignore EM220 until 2020-01-01 because Elsewhere moves here",
		Good: "rules:\n  - {name: x, match: {service: Arith}, timeout: 1s}",
	},
}
