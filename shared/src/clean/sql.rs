//! SQL expressions over a row: parsed, resolved against a schema, typed, simplified and compiled.
//!
//! A column is named as it is spelt; without quotes also without case, where only one column fits. Functions are
//! DataFusion's scalar functions that give the same answer for the same row, always: `random()` and `now()` are
//! refused, or the same source would not give the same bytes. As in PostgreSQL, NaN equals itself and is above every
//! number, and -0.0 equals 0.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion_common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion_common::{DFSchema, DataFusionError, ScalarValue};
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion_expr::simplify::SimplifyContext;
use datafusion_expr::{Expr, Operator};
use datafusion_optimizer::simplify_expressions::ExprSimplifier;
use datafusion_physical_expr::expressions::{BinaryExpr, Literal, NegativeExpr};
use datafusion_physical_expr::utils::collect_columns;
use datafusion_physical_expr::{PhysicalExpr, create_physical_expr};
use datafusion_sql::parser::DFParserBuilder;
use datafusion_sql::planner::{ParserOptions, PlannerContext, SqlToRel};
use datafusion_sql::sqlparser::ast::{Expr as Ast, Ident, Query, Spanned, VisitMut, VisitorMut};
use datafusion_sql::sqlparser::dialect::GenericDialect;
use datafusion_sql::sqlparser::parser::ParserError;
use datafusion_sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use crate::dataset::{Position, closest};

use super::functions::{FUNCTIONS, callable, spelt_out};
use super::types;

/// The most operators, names, keywords and brackets of one expression: a chain of more could exhaust the stack of the
/// planner, which recurses. Values in a list do not count.
const MAX_OPERATIONS: usize = 500;

/// The longest text taken over from a planner's error.
const MAX_MESSAGE_CHARS: usize = 400;

/// What is wrong with an expression, and where in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub at: Option<Position>,
    pub what: String,
}

/// The columns that an expression may name.
#[derive(Debug)]
pub(crate) struct Scope {
    schema: SchemaRef,
    /// False where a source may bring more columns than these: then an unknown name is no error yet.
    closed: bool,
}

/// A compiled expression.
#[derive(Debug, Clone)]
pub(crate) struct Compiled {
    pub expr: Arc<dyn PhysicalExpr>,
    pub data_type: DataType,
    /// The columns it reads, by index into the scope's schema.
    pub columns: BTreeSet<usize>,
}

impl Scope {
    /// A scope of exactly these columns.
    pub(crate) fn closed(schema: SchemaRef) -> Self {
        Self { schema, closed: true }
    }

    /// A scope of these columns and others not known yet.
    pub(crate) fn open(schema: SchemaRef) -> Self {
        Self { schema, closed: false }
    }

    /// Compiles an expression. `None` where it names columns that this scope does not know and is open to.
    pub(crate) fn compile(&self, sql: &str) -> Result<Option<Compiled>, Problem> {
        self.compile_parsed(parse(sql)?)
    }

    /// [`Scope::compile`] of an expression that is parsed already.
    pub(crate) fn compile_parsed(&self, mut ast: Ast) -> Result<Option<Compiled>, Problem> {
        if !self.resolve_names(&mut ast)? {
            return Ok(None);
        }
        let plan = || self.physical(self.logical(ast)?);
        plan().map(Some).map_err(|error| planning_problem(&error))
    }

    /// Spells the columns that a part of an expression names as they are, and refuses what a row cannot answer. False
    /// where it names columns that this scope does not know and is open to.
    pub(crate) fn resolve_names(&self, part: &mut impl VisitMut) -> Result<bool, Problem> {
        let mut resolver = Resolver { scope: self, unknown: false };
        match VisitMut::visit(part, &mut resolver) {
            ControlFlow::Break(problem) => Err(problem),
            ControlFlow::Continue(()) => Ok(!resolver.unknown),
        }
    }

    /// The columns that an expression names and this scope, which is open, does not know. Empty where it does not parse.
    pub(crate) fn unknown_names(&self, sql: &str) -> Vec<(String, Option<Position>)> {
        let Ok(mut ast) = parse(sql) else { return Vec::new() };
        let mut unknown = Unknown { scope: self, names: Vec::new() };
        let _: ControlFlow<()> = VisitMut::visit(&mut ast, &mut unknown);
        unknown.names
    }

    /// The columns.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Compiles an expression that must be a boolean.
    pub(crate) fn compile_boolean(&self, sql: &str) -> Result<Option<Compiled>, Problem> {
        boolean(self.compile(sql)?)
    }
    /// The logical expression, its types made to fit.
    pub(crate) fn logical(&self, ast: Ast) -> Result<Expr, DataFusionError> {
        let schema = self.df_schema()?;
        let options = ParserOptions { map_string_types_to_utf8view: false, ..ParserOptions::default() };
        let planner = SqlToRel::new_with_options(&*FUNCTIONS, options);
        let logical = planner.sql_to_expr(ast, &schema, &mut PlannerContext::new())?;
        simplifier(&schema).coerce(logical, &schema)
    }

    /// The columns, as the planner wants them.
    pub(crate) fn df_schema(&self) -> Result<Arc<DFSchema>, DataFusionError> {
        Ok(Arc::new(DFSchema::try_from(self.schema.clone())?))
    }

    /// Compiles what [`Scope::logical`] gave.
    pub(crate) fn physical(&self, logical: Expr) -> Result<Compiled, DataFusionError> {
        let schema = self.df_schema()?;
        let simplified = simplifier(&schema).simplify(logical)?;
        let mut props = ExecutionProps::new();
        props.config_options = Some(FUNCTIONS.options.clone());
        let physical = create_physical_expr(&simplified, &schema, &props, &PhysicalPlanningContext::default())?;
        let expr = physical.transform_up(|expr| checked_arithmetic(expr, &self.schema)).data()?;
        let data_type = expr.data_type(&self.schema)?;
        let columns = collect_columns(&expr).iter().map(|column| column.index()).collect();
        Ok(Compiled { expr, data_type, columns })
    }

    /// The column that an identifier names.
    fn resolve(&self, ident: &Ident) -> Result<Option<String>, Problem> {
        let fields = self.schema.fields();
        if fields.iter().any(|field| *field.name() == ident.value) {
            return Ok(Some(ident.value.clone()));
        }
        let lower = ident.value.to_lowercase();
        let alike: Vec<_> = match ident.quote_style {
            Some(_) => Vec::new(),
            None => fields.iter().filter(|field| field.name().to_lowercase() == lower).collect(),
        };
        let at = position(ident.span.start);
        match alike.as_slice() {
            [only] => Ok(Some(only.name().clone())),
            [] if !self.closed => Ok(None),
            [] => {
                let known = fields.iter().map(|field| field.name().as_str());
                let hint = match closest(&ident.value, known.clone()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("known here: {}", listed(known)),
                };
                Err(Problem { at, what: format!("unknown column `{}`: {hint}", ident.value) })
            }
            several => {
                let names = listed(several.iter().map(|field| field.name().as_str()));
                let what =
                    format!("column `{}` is ambiguous: put the one meant in double quotes: {names}", ident.value);
                Err(Problem { at, what })
            }
        }
    }
}

fn simplifier(schema: &Arc<DFSchema>) -> ExprSimplifier {
    let context = SimplifyContext::builder().with_schema(schema.clone());
    ExprSimplifier::new(context.with_config_options(FUNCTIONS.options.clone()).build())
}

/// Refuses an expression that is no boolean.
pub(crate) fn boolean(compiled: Option<Compiled>) -> Result<Option<Compiled>, Problem> {
    match compiled {
        Some(compiled) if compiled.data_type != DataType::Boolean => Err(Problem {
            at: None,
            what: format!(
                "the expression gives {}, not bool: write a condition, such as a comparison",
                types::describe(&compiled.data_type)
            ),
        }),
        compiled => Ok(compiled),
    }
}

/// At most a dozen names, in backquotes.
fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    const MAX_LISTED: usize = 12;
    let names: Vec<_> = names.map(|name| format!("`{name}`")).collect();
    match names.get(..MAX_LISTED) {
        Some(first) if names.len() > MAX_LISTED => {
            format!("{} and {} more", first.join(", "), names.len() - MAX_LISTED)
        }
        _ => names.join(", "),
    }
}

/// Replaces the names of columns by their exact spelling, and refuses what a row cannot answer.
struct Resolver<'a> {
    scope: &'a Scope,
    unknown: bool,
}

impl Resolver<'_> {
    fn column(&mut self, ident: &mut Ident) -> Result<(), Problem> {
        match self.scope.resolve(ident)? {
            Some(name) => {
                ident.value = name;
                ident.quote_style = Some('"');
            }
            None => self.unknown = true,
        }
        Ok(())
    }
}

impl VisitorMut for Resolver<'_> {
    type Break = Problem;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Problem> {
        ControlFlow::Break(Problem {
            at: position(query.span().start),
            what: "subqueries have no meaning here: an expression sees one row".to_owned(),
        })
    }

    fn pre_visit_expr(&mut self, expr: &mut Ast) -> ControlFlow<Problem> {
        if let Ast::Function(function) = expr
            && let Some(spelt_out) = spelt_out(function)
        {
            *expr = spelt_out;
        }
        let checked = match expr {
            Ast::Identifier(ident) => self.column(ident),
            // A field of a struct: only the first name is a column's.
            Ast::CompoundIdentifier(idents) => match idents.first_mut() {
                Some(ident) => self.column(ident),
                None => Ok(()),
            },
            Ast::Function(function) => {
                let at = position(function.name.span().start);
                callable(function).map_err(|what| Problem { at, what })
            }
            _ => Ok(()),
        };
        match checked {
            Ok(()) => ControlFlow::Continue(()),
            Err(problem) => ControlFlow::Break(problem),
        }
    }
}

/// Gathers the names that an open scope does not know.
struct Unknown<'a> {
    scope: &'a Scope,
    names: Vec<(String, Option<Position>)>,
}

impl VisitorMut for Unknown<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Ast) -> ControlFlow<()> {
        let ident = match expr {
            Ast::Identifier(ident) => Some(&*ident),
            Ast::CompoundIdentifier(idents) => idents.first(),
            _ => None,
        };
        if let Some(ident) = ident
            && let Ok(None) = self.scope.resolve(ident)
        {
            self.names.push((ident.value.clone(), position(ident.span.start)));
        }
        ControlFlow::Continue(())
    }
}

/// Parses an expression.
pub(crate) fn parse(sql: &str) -> Result<Ast, Problem> {
    let parsed = tokens(sql)
        .and_then(|tokens| DFParserBuilder::new(tokens).build()?.parse_into_expr())
        .map_err(|error| syntax_problem(sql, &error))?;
    match parsed.alias {
        None => Ok(parsed.expr),
        Some(alias) => Err(Problem {
            at: position(alias.span.start),
            what: format!("unexpected `{alias}` behind the expression: remove it"),
        }),
    }
}

fn tokens(sql: &str) -> Result<Vec<TokenWithSpan>, DataFusionError> {
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location().map_err(ParserError::from)?;
    let operations = tokens.iter().filter(|token| {
        !matches!(token.token, Token::Whitespace(_) | Token::Comma | Token::Number(..) | Token::SingleQuotedString(_))
    });
    if let Some(beyond) = operations.clone().nth(MAX_OPERATIONS) {
        let what = format!("more than {MAX_OPERATIONS} operators and names: split the expression{}", beyond.span.start);
        return Err(ParserError::ParserError(what).into());
    }
    Ok(tokens)
}

/// A parser's error, whose text ends in `at Line: 1, Column: 5`, unless something is missing at the end.
fn syntax_problem(sql: &str, error: &DataFusionError) -> Problem {
    let text = match error.find_root() {
        DataFusionError::SQL(parser, _) => parser.to_string(),
        other => other.message().into_owned(),
    };
    let text = text.strip_prefix("sql parser error: ").unwrap_or(&text);
    let located = text.rsplit_once(" at Line: ").and_then(|(what, place)| {
        let (line, column) = place.split_once(", Column: ")?;
        Some((what, Position { line: line.trim().parse().ok()?, column: column.trim().parse().ok()? }))
    });
    match located {
        Some((what, at)) => Problem { at: Some(at), what: format!("bad sql: {}", uncapitalised(what)) },
        None => {
            let at = text.ends_with("found: EOF").then(|| Position::of(sql, sql.len()));
            Problem { at, what: format!("bad sql: {}", uncapitalised(text)) }
        }
    }
}

/// A planner's error in words.
pub(crate) fn planning_problem(error: &DataFusionError) -> Problem {
    let root = error.find_root();
    let message = root.message();
    let words: Vec<_> = message.split_whitespace().collect();
    let cut: String = words.join(" ").chars().take(MAX_MESSAGE_CHARS).collect();
    Problem { at: None, what: uncapitalised(cut.trim_end_matches('.')) }
}

fn uncapitalised(text: &str) -> String {
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => first.to_lowercase().chain(characters).collect(),
        None => String::new(),
    }
}

pub(crate) fn position(location: Location) -> Option<Position> {
    (location.line > 0).then_some(Position { line: location.line, column: location.column })
}

/// Integer arithmetic that overflows is an error of the row, not another number.
fn checked_arithmetic(
    expr: Arc<dyn PhysicalExpr>,
    schema: &Schema,
) -> Result<Transformed<Arc<dyn PhysicalExpr>>, DataFusionError> {
    if let Some(binary) = expr.downcast_ref::<BinaryExpr>() {
        return Ok(Transformed::yes(Arc::new(binary.clone().with_fail_on_overflow(true))));
    }
    if let Some(negative) = expr.downcast_ref::<NegativeExpr>() {
        let data_type = negative.arg().data_type(schema)?;
        if data_type.is_integer() {
            let zero = Arc::new(Literal::new(ScalarValue::new_zero(&data_type)?));
            let difference = BinaryExpr::new(zero, Operator::Minus, Arc::clone(negative.arg()));
            return Ok(Transformed::yes(Arc::new(difference.with_fail_on_overflow(true))));
        }
    }
    Ok(Transformed::no(expr))
}
