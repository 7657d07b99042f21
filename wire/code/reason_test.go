package code

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"
)

func TestEveryReasonIsInTheTable(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "reason.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	constants := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Reason") {
			return true
		}
		constants++
		text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if _, ok := reasons[text]; !ok || err != nil {
			t.Errorf("%s is not in the table", spec.Names[0])
		}
		return true
	})
	if constants == 0 || constants != len(reasons) {
		t.Errorf("%d constants, %d entries", constants, len(reasons))
	}
}
