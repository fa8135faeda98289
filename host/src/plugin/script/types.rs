//! TypeScript -> JavaScript, by blanking: every type becomes as many spaces, so that whatever is left stands where it stood.
//!
//! Only types that mean nothing at run time can go this way ("erasable syntax", as `--erasableSyntaxOnly` of TypeScript 5.8 and Node.js
//! call it). The others are refused with what to write instead. Nothing is checked: that is the author's editor's work.

use oxc_ast::ast::{
    AccessorProperty, Class, Declaration, Decorator, Expression, FormalParameter, Function, MethodDefinition, MethodDefinitionType,
    Program, PropertyDefinition, PropertyDefinitionType, TSAsExpression, TSEnumDeclaration, TSExportAssignment,
    TSExternalModuleDeclaration, TSGlobalDeclaration, TSImportEqualsDeclaration, TSIndexSignature, TSInstantiationExpression,
    TSInterfaceDeclaration, TSNamespaceDeclaration, TSNonNullExpression, TSSatisfiesExpression, TSThisParameter, TSTypeAliasDeclaration,
    TSTypeAnnotation, TSTypeAssertion, TSTypeParameterDeclaration, TSTypeParameterInstantiation, VariableDeclaration, VariableDeclarator,
};
use oxc_ast_visit::{Visit, walk};
use oxc_span::{GetSpan, Span};
use oxc_syntax::scope::ScopeFlags;

/// Words before a member of a class that are about types.
const MODIFIERS: [&str; 7] = ["public", "private", "protected", "readonly", "override", "abstract", "declare"];

/// What to blank, and the character to put first; or the first thing that cannot be, and why.
pub(super) fn blanks(source: &str, program: &Program<'_>) -> Result<Vec<(Span, char)>, (Span, String)> {
    let mut types = Types { source, blanks: Vec::new(), refused: None };
    types.visit_program(program);
    match types.refused {
        None => Ok(types.blanks),
        Some(refused) => Err(refused),
    }
}

/// Whether nothing of a declaration is there at run time.
pub(super) fn are_all(declaration: &Declaration<'_>) -> bool {
    match declaration {
        Declaration::TSInterfaceDeclaration(_) | Declaration::TSTypeAliasDeclaration(_) => true,
        Declaration::VariableDeclaration(variables) => variables.declare,
        Declaration::FunctionDeclaration(function) => function.declare || function.body.is_none(),
        Declaration::ClassDeclaration(class) => class.declare,
        Declaration::TSEnumDeclaration(enumeration) => enumeration.declare,
        Declaration::TSNamespaceDeclaration(namespace) => namespace.declare,
        _ => false,
    }
}

struct Types<'s> {
    source: &'s str,
    blanks: Vec<(Span, char)>,
    refused: Option<(Span, String)>,
}

impl Types<'_> {
    fn blank(&mut self, span: Span) {
        self.blanks.push((span, ' '));
    }

    /// A semicolon stays, so that what stands before does not go on with what stands behind.
    fn blank_statement(&mut self, span: Span) {
        self.blanks.push((span, ';'));
    }

    fn blank_between(&mut self, start: u32, end: u32) {
        if start < end {
            self.blank(Span::new(start, end));
        }
    }

    fn refuse(&mut self, span: Span, reason: &str) {
        if self.refused.is_none() {
            self.refused = Some((span, format!("{reason}; only types that mean nothing at run time are taken")));
        }
    }

    fn text(&self, start: u32, end: u32) -> &str {
        self.source.get(start as usize..end as usize).unwrap_or_default()
    }

    /// Blanks the first `mark` behind `start`, where nothing but white space and comments may stand before.
    fn blank_mark(&mut self, mark: char, start: u32, end: u32) {
        if let Some(at) = self.text(start, end).find(mark).and_then(|at| u32::try_from(at).ok()) {
            self.blank_between(start + at, start + at + 1);
        }
    }

    fn blank_modifiers(&mut self, start: u32, end: u32) {
        let text = self.text(start, end);
        let is_word = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$'));
        let mut found = Vec::new();
        for word in MODIFIERS {
            for (at, _) in text.match_indices(word) {
                let bytes = text.as_bytes();
                let is_whole = !is_word(at.checked_sub(1).and_then(|before| bytes.get(before))) && !is_word(bytes.get(at + word.len()));
                if let (true, Ok(at), Ok(length)) = (is_whole, u32::try_from(at), u32::try_from(word.len())) {
                    found.push((start + at, start + at + length));
                }
            }
        }
        for (start, end) in found {
            self.blank_between(start, end);
        }
    }

    fn end_of_source(&self) -> u32 {
        u32::try_from(self.source.len()).unwrap_or(u32::MAX)
    }
}

impl<'a> Visit<'a> for Types<'_> {
    fn visit_ts_type_annotation(&mut self, it: &TSTypeAnnotation<'a>) {
        self.blank(it.span);
    }

    fn visit_ts_type_parameter_declaration(&mut self, it: &TSTypeParameterDeclaration<'a>) {
        self.blank(it.span);
    }

    fn visit_ts_type_parameter_instantiation(&mut self, it: &TSTypeParameterInstantiation<'a>) {
        self.blank(it.span);
    }

    fn visit_ts_this_parameter(&mut self, it: &TSThisParameter<'a>) {
        self.blank(it.span);
        let behind = self.text(it.span.end, self.end_of_source());
        if behind.trim_start().starts_with(',') {
            self.blank_mark(',', it.span.end, self.end_of_source());
        }
    }

    fn visit_ts_as_expression(&mut self, it: &TSAsExpression<'a>) {
        self.without_rest(&it.expression, it.span);
    }

    fn visit_ts_satisfies_expression(&mut self, it: &TSSatisfiesExpression<'a>) {
        self.without_rest(&it.expression, it.span);
    }

    fn visit_ts_non_null_expression(&mut self, it: &TSNonNullExpression<'a>) {
        self.without_rest(&it.expression, it.span);
    }

    fn visit_ts_instantiation_expression(&mut self, it: &TSInstantiationExpression<'a>) {
        self.without_rest(&it.expression, it.span);
    }

    fn visit_ts_type_assertion(&mut self, it: &TSTypeAssertion<'a>) {
        self.blank_between(it.span.start, it.expression.span().start);
        self.visit_expression(&it.expression);
    }

    fn visit_ts_interface_declaration(&mut self, it: &TSInterfaceDeclaration<'a>) {
        self.blank_statement(it.span);
    }

    fn visit_ts_type_alias_declaration(&mut self, it: &TSTypeAliasDeclaration<'a>) {
        self.blank_statement(it.span);
    }

    fn visit_ts_index_signature(&mut self, it: &TSIndexSignature<'a>) {
        self.blank_statement(it.span);
    }

    fn visit_ts_external_module_declaration(&mut self, it: &TSExternalModuleDeclaration<'a>) {
        self.blank_statement(it.span);
    }

    fn visit_ts_global_declaration(&mut self, it: &TSGlobalDeclaration<'a>) {
        self.blank_statement(it.span);
    }

    fn visit_ts_enum_declaration(&mut self, it: &TSEnumDeclaration<'a>) {
        if it.declare {
            self.blank_statement(it.span);
        } else {
            self.refuse(it.span, "an `enum` is code; write `const Name = { A: 'a' } as const`");
        }
    }

    fn visit_ts_namespace_declaration(&mut self, it: &TSNamespaceDeclaration<'a>) {
        if it.declare {
            self.blank_statement(it.span);
        } else {
            self.refuse(it.span, "a `namespace` is code; write an object");
        }
    }

    fn visit_ts_import_equals_declaration(&mut self, it: &TSImportEqualsDeclaration<'a>) {
        self.refuse(it.span, "a script is one file and cannot `import`");
    }

    fn visit_ts_export_assignment(&mut self, it: &TSExportAssignment<'a>) {
        self.refuse(it.span, "`export =` has no name to call; export by name");
    }

    fn visit_decorator(&mut self, it: &Decorator<'a>) {
        self.refuse(it.span, "the engine knows no decorators");
    }

    fn visit_variable_declaration(&mut self, it: &VariableDeclaration<'a>) {
        if it.declare {
            self.blank_statement(it.span);
        } else {
            walk::walk_variable_declaration(self, it);
        }
    }

    fn visit_variable_declarator(&mut self, it: &VariableDeclarator<'a>) {
        if it.definite {
            self.blank_mark('!', it.id.span().end, it.span.end);
        }
        walk::walk_variable_declarator(self, it);
    }

    fn visit_function(&mut self, it: &Function<'a>, flags: ScopeFlags) {
        if it.declare || it.body.is_none() {
            self.blank_statement(it.span);
        } else {
            walk::walk_function(self, it, flags);
        }
    }

    fn visit_formal_parameter(&mut self, it: &FormalParameter<'a>) {
        if it.accessibility.is_some() || it.readonly || it.r#override {
            self.refuse(it.span, "a parameter that is a field too is code; declare the field and assign it");
        }
        if it.optional {
            self.blank_mark('?', it.pattern.span().end, it.span.end);
        }
        walk::walk_formal_parameter(self, it);
    }

    fn visit_class(&mut self, it: &Class<'a>) {
        if it.declare {
            return self.blank_statement(it.span);
        }
        if it.r#abstract {
            self.blank_modifiers(it.span.start, self.word("class", it.span).unwrap_or(it.span.start));
        }
        if !it.implements.is_empty() {
            let behind = [
                it.id.as_ref().map(|id| id.span.end),
                it.type_parameters.as_ref().map(|parameters| parameters.span.end),
                it.heritage.as_ref().map(|heritage| heritage.expression.span().end),
                it.heritage.as_ref().and_then(|heritage| heritage.type_arguments.as_ref()).map(|arguments| arguments.span.end),
            ];
            let start = behind.into_iter().flatten().max().or_else(|| self.word("implements", it.span));
            self.blank_between(start.unwrap_or(it.body.span.start), it.body.span.start);
        }
        if let Some(parameters) = &it.type_parameters {
            self.visit_ts_type_parameter_declaration(parameters);
        }
        if let Some(heritage) = &it.heritage {
            walk::walk_class_heritage(self, heritage);
        }
        for decorator in &it.decorators {
            self.visit_decorator(decorator);
        }
        self.visit_class_body(&it.body);
    }

    fn visit_method_definition(&mut self, it: &MethodDefinition<'a>) {
        if it.r#type == MethodDefinitionType::TSAbstractMethodDefinition || it.value.body.is_none() {
            return self.blank_statement(it.span);
        }
        self.blank_modifiers(it.span.start, it.key.span().start);
        if it.optional {
            self.blank_mark('?', it.key.span().end, it.value.params.span.start);
        }
        walk::walk_method_definition(self, it);
    }

    fn visit_property_definition(&mut self, it: &PropertyDefinition<'a>) {
        if it.r#type == PropertyDefinitionType::TSAbstractPropertyDefinition || it.declare {
            return self.blank_statement(it.span);
        }
        self.blank_modifiers(it.span.start, it.key.span().start);
        if it.optional {
            self.blank_mark('?', it.key.span().end, it.span.end);
        }
        if it.definite {
            self.blank_mark('!', it.key.span().end, it.span.end);
        }
        walk::walk_property_definition(self, it);
    }

    fn visit_accessor_property(&mut self, it: &AccessorProperty<'a>) {
        self.blank_modifiers(it.span.start, it.key.span().start);
        walk::walk_accessor_property(self, it);
    }
}

impl Types<'_> {
    /// What stands behind an expression, up to the end of what it is in, is about its type.
    fn without_rest<'a>(&mut self, expression: &Expression<'a>, whole: Span) {
        self.blank_between(expression.span().end, whole.end);
        self.visit_expression(expression);
    }

    /// Where a word stands first.
    fn word(&self, word: &str, span: Span) -> Option<u32> {
        let at = self.text(span.start, span.end).find(word)?;
        Some(span.start + u32::try_from(at).ok()?)
    }
}
