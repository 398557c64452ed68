"""Build time: modules without what only a type checker reads. See :mod:`.onecode`."""

import ast

FLAG = "TYPE_CHECKING"


def strip_annotations(source: str) -> ast.Module:
    """The module of this ``source`` without annotations and without ``if TYPE_CHECKING`` blocks."""
    module = ast.parse(source)
    _Stripper().visit(module)
    return ast.fix_missing_locations(module)


class _Stripper(ast.NodeTransformer):
    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        node.returns = None
        self.generic_visit(node)
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        self.generic_visit(node)
        node.body = node.body or [ast.Pass()]
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.Assign | None:
        self.generic_visit(node)
        return ast.copy_location(ast.Assign([node.target], node.value), node) if node.value else None

    def visit_Assign(self, node: ast.Assign) -> ast.Assign | None:
        self.generic_visit(node)
        return None if any(isinstance(target, ast.Name) and target.id == FLAG for target in node.targets) else node

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return (
            ast.copy_location(ast.Constant(False), node) if node.id == FLAG and isinstance(node.ctx, ast.Load) else node
        )

    def visit_If(self, node: ast.If) -> ast.If | list[ast.stmt]:
        self.generic_visit(node)
        match node.test:
            case ast.Constant(value=False):
                return node.orelse
            case ast.UnaryOp(op=ast.Not(), operand=ast.Constant(value=False)):
                return node.body
        return node
