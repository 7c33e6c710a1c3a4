package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"os"
	"path/filepath"
	"strings"
)

// errUnchanged is of a mutant that is the original.
var errUnchanged = errors.New("the mutant is the original")

// mutation is one operator that was changed.
type mutation struct {
	File         string // name within the package's folder
	Line, Column int    // in the original
	Function     string // with its receiver's type, or "" outside functions
	Original     string // the line, without the space around it
	Mutated      string
}

func (m mutation) String() string {
	return fmt.Sprintf("%s:%d:%d", m.File, m.Line, m.Column)
}

// findMutation tells what gremlins has changed, by the first token that differs. It
// formats the file anew, so lines do not help. And it puts parentheses where the new
// operator would otherwise take other operands than the old one, so those are left
// out of the comparison.
func findMutation(original, mutated string, files []string) (mutation, error) {
	for _, name := range files {
		before, err := os.ReadFile(filepath.Join(original, name))
		if err != nil {
			return mutation{}, err
		}
		after, err := os.ReadFile(filepath.Join(mutated, name))
		if err != nil {
			return mutation{}, err
		}
		if string(before) == string(after) {
			continue
		}
		m, err := compareTokens(name, before, after)
		if err != nil {
			return m, err
		}
		m.Function, err = functionAt(before, m.Line)
		return m, err
	}
	return mutation{}, errUnchanged
}

func compareTokens(name string, before, after []byte) (mutation, error) {
	old, changed := tokens(before), tokens(after)
	if len(old) != len(changed) {
		return mutation{}, fmt.Errorf("%s: the mutant has another number of tokens", name)
	}
	for i := range old {
		if old[i].text == changed[i].text {
			continue
		}
		lines := strings.Split(string(before), "\n")
		at := old[i].position
		line := lines[at.Line-1]
		end := at.Column - 1 + len(old[i].text)
		return mutation{
			File: name, Line: at.Line, Column: at.Column,
			Original: strings.TrimSpace(line),
			Mutated:  strings.TrimSpace(line[:at.Column-1] + changed[i].text + line[end:]),
		}, nil
	}
	return mutation{File: name}, errUnchanged
}

type placedToken struct {
	text     string
	position token.Position
}

func tokens(source []byte) []placedToken {
	set := token.NewFileSet()
	file := set.AddFile("", -1, len(source))
	var s scanner.Scanner
	s.Init(file, source, nil, 0)
	var all []placedToken
	for {
		pos, tok, text := s.Scan()
		switch {
		case tok == token.EOF:
			return all
		case tok == token.LPAREN || tok == token.RPAREN || tok == token.SEMICOLON: // may be there or not
			continue
		case tok.IsOperator() || tok.IsKeyword():
			text = tok.String()
		}
		all = append(all, placedToken{text, set.Position(pos)})
	}
}

// functionAt names the function that a line is in.
func functionAt(source []byte, line int) (string, error) {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, "", source, parser.SkipObjectResolution)
	if err != nil {
		return "", err
	}
	for _, decl := range file.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if ok && set.Position(f.Pos()).Line <= line && line <= set.Position(f.End()).Line {
			return functionName(f), nil
		}
	}
	return "", nil
}

func functionName(f *ast.FuncDecl) string {
	if f.Recv == nil || len(f.Recv.List) == 0 {
		return f.Name.Name
	}
	receiver := f.Recv.List[0].Type
	for {
		switch r := receiver.(type) {
		case *ast.StarExpr:
			receiver = r.X
		case *ast.IndexExpr:
			receiver = r.X
		case *ast.Ident:
			return r.Name + "." + f.Name.Name
		default:
			return f.Name.Name
		}
	}
}
