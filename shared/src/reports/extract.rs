//! Aggregates within an expression: taken out, compiled over rows, and replaced by a column of their values.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion_common::DataFusionError;
use datafusion_expr::expr::{AggregateFunction, Cast, NullTreatment};
use datafusion_expr::{Expr, ExprSchemable};
use datafusion_physical_expr::PhysicalSortExpr;
use datafusion_physical_expr::aggregate::{AggregateExprBuilder, AggregateFunctionExpr};
use datafusion_sql::sqlparser::ast::{
    DuplicateTreatment, Expr as Ast, Function, FunctionArguments, Spanned, VisitMut, VisitorMut,
};

use crate::clean::functions::FUNCTIONS;
use crate::clean::sql::{Compiled, Problem, Scope, parse, planning_problem, position};

/// The aggregates whose state is bounded and merges, by every name.
const AGGREGATES: [&str; 38] = [
    "count",
    "sum",
    "avg",
    "mean",
    "min",
    "max",
    "stddev",
    "stddev_samp",
    "stddev_pop",
    "var",
    "var_samp",
    "var_sample",
    "var_pop",
    "var_population",
    "approx_percentile_cont",
    "approx_median",
    "approx_distinct",
    "arg_max",
    "arg_min",
    "first_value",
    "last_value",
    "bool_and",
    "bool_or",
    "bit_and",
    "bit_or",
    "bit_xor",
    "corr",
    "covar",
    "covar_samp",
    "covar_pop",
    "regr_slope",
    "regr_intercept",
    "regr_count",
    "regr_r2",
    "regr_avgx",
    "regr_avgy",
    "regr_sxx",
    "regr_sxy",
];

/// Whether reports know an aggregate of this name, in lower case.
pub(crate) fn is_aggregate(name: &str) -> bool {
    AGGREGATES.contains(&name)
}

/// One aggregate of a report.
#[derive(Debug, Clone)]
pub(super) struct Aggregate {
    /// Its SQL, columns spelt as they are: equal texts are one aggregate.
    pub text: String,
    pub function: Arc<AggregateFunctionExpr>,
    /// What it takes of a row, by place in the report's inputs.
    pub inputs: Vec<usize>,
    /// The input that tells which rows it takes.
    pub filter: Option<usize>,
}

/// Aggregates found so far, and what they take of a row.
#[derive(Debug, Default)]
pub(super) struct Aggregates {
    pub found: Vec<Aggregate>,
    /// Each once, however many aggregates take it.
    pub inputs: Vec<Compiled>,
}

impl Aggregates {
    /// The columns of their values.
    pub(super) fn fields(&self) -> impl Iterator<Item = Field> {
        let field = |one: &Aggregate| Field::new(&one.text, one.function.field().data_type().clone(), true);
        self.found.iter().map(field)
    }

    /// Parses an expression and takes its aggregates out. `None` where one names columns that `rows` does not know and is
    /// open to.
    pub(super) fn extract(&mut self, rows: &Scope, sql: &str) -> Result<Option<Ast>, Problem> {
        let mut ast = parse(sql)?;
        let mut extractor = Extractor { aggregates: self, rows, unknown: false };
        if let ControlFlow::Break(problem) = VisitMut::visit(&mut ast, &mut extractor) {
            return Err(problem);
        }
        Ok((!extractor.unknown).then_some(ast))
    }

    fn input(&mut self, compiled: Compiled) -> usize {
        let known = self
            .inputs
            .iter()
            .position(|known| known.expr.as_ref() == compiled.expr.as_ref() && known.data_type == compiled.data_type);
        known.unwrap_or_else(|| {
            self.inputs.push(compiled);
            self.inputs.len() - 1
        })
    }

    /// Compiles a call over rows, and answers what stands for it.
    fn add(&mut self, rows: &Scope, function: Function) -> Result<Ast, Problem> {
        let whole = Ast::Function(function);
        let text = whole.to_string();
        let planned = |error: DataFusionError| planning_problem(&error);
        let mut logical = rows.logical(whole).map_err(planned)?;
        while let Expr::Alias(alias) = logical {
            // `count(*)` is planned as another call under this name.
            logical = *alias.expr;
        }
        let Expr::AggregateFunction(AggregateFunction { func, params }) = logical else {
            return Err(Problem { at: None, what: format!("`{text}` is no aggregate here") });
        };
        let schema = rows.df_schema().map_err(planned)?;
        let mut args = params.args;
        let mut shown = format!("\"{}\"", text.replace('"', "\"\""));
        if func.name() == "sum"
            && let Some(arg) = args.first_mut()
        {
            let summed = arg.get_type(&schema).map_err(planned)?;
            if summed.is_integer() {
                // DataFusion's sum of integers wraps around without a word. This one cannot, and is cast back, checked.
                *arg = Expr::Cast(Cast::new(Box::new(arg.clone()), DataType::Decimal128(20, 0)));
                let back = if summed.is_unsigned_integer() { "bigint unsigned" } else { "bigint" };
                shown = format!("cast({shown} as {back})");
            }
        }
        if !self.found.iter().any(|known| known.text == text) {
            let args =
                args.into_iter().map(|arg| rows.physical(arg)).collect::<Result<Vec<_>, _>>().map_err(planned)?;
            let mut order = Vec::new();
            let mut ordered = Vec::new();
            for sort in params.order_by {
                let by = rows.physical(sort.expr).map_err(planned)?;
                let options = arrow::compute::SortOptions { descending: !sort.asc, nulls_first: sort.nulls_first };
                ordered.push(PhysicalSortExpr::new(by.expr.clone(), options));
                order.push(by);
            }
            let ignore_nulls = params.null_treatment == Some(NullTreatment::IgnoreNulls);
            let function = AggregateExprBuilder::new(func, args.iter().map(|arg| arg.expr.clone()).collect())
                .order_by(ordered)
                .schema(rows.schema().clone())
                .alias(&text)
                .with_ignore_nulls(ignore_nulls)
                .build()
                .map_err(planned)?;
            let filter = params.filter.map(|filter| rows.physical(*filter)).transpose().map_err(planned)?;
            // Tells now, rather than over rows, of what the aggregate cannot do with these types.
            function.create_accumulator().map_err(planned)?;
            let inputs = args.into_iter().chain(order).map(|input| self.input(input)).collect();
            let filter = filter.map(|filter| self.input(filter));
            self.found.push(Aggregate { text, function: Arc::new(function), inputs, filter });
        }
        parse(&shown)
    }
}

struct Extractor<'a> {
    aggregates: &'a mut Aggregates,
    rows: &'a Scope,
    unknown: bool,
}

impl VisitorMut for Extractor<'_> {
    type Break = Problem;

    fn pre_visit_expr(&mut self, expr: &mut Ast) -> ControlFlow<Problem> {
        let Ast::Function(function) = expr else { return ControlFlow::Continue(()) };
        let at = position(function.name.span().start);
        match self.replacement(function) {
            Ok(Some(replacement)) => *expr = replacement,
            Ok(None) => {}
            Err(problem) => return ControlFlow::Break(Problem { at: problem.at.or(at), ..problem }),
        }
        ControlFlow::Continue(())
    }
}

impl Extractor<'_> {
    /// What stands for a call, if it is an aggregate's.
    fn replacement(&mut self, function: &Function) -> Result<Option<Ast>, Problem> {
        let name = function.name.to_string().to_lowercase();
        let refused = |what: &str| Err(Problem { at: None, what: format!("`{name}` {what}") });
        if !is_aggregate(&name) {
            return match FUNCTIONS.is_aggregate(&name) {
                true => refused(
                    "keeps every value, which a report cannot: use count, sum, avg, min, max, stddev, \
                     approx_percentile_cont, approx_median, approx_distinct, arg_max or arg_min",
                ),
                false => Ok(None),
            };
        }
        if function.over.is_some() {
            return refused("OVER has no meaning here: group with group_by");
        }
        let FunctionArguments::List(arguments) = &function.args else {
            return refused("needs its arguments in brackets");
        };
        if arguments.duplicate_treatment == Some(DuplicateTreatment::Distinct) {
            return refused("of DISTINCT values keeps every value, which a report cannot: use approx_distinct");
        }
        if matches!(name.as_str(), "first_value" | "last_value") && arguments.clauses.is_empty() {
            return refused("needs ORDER BY within its brackets: arg_max(x, y) is shorter");
        }
        let mut function = function.clone();
        // The call's parts, not itself, so that an aggregate within an aggregate is refused.
        if !self.rows.resolve_names(&mut function)? {
            self.unknown = true;
            return parse("null").map(Some);
        }
        let function = match name.as_str() {
            "arg_max" | "arg_min" => spelt_out(&name, &function)?,
            _ => function,
        };
        self.aggregates.add(self.rows, function).map(Some)
    }
}

/// `arg_max(x, y)` as what DataFusion knows.
fn spelt_out(name: &str, function: &Function) -> Result<Function, Problem> {
    let wrong = || Problem { at: None, what: format!("`{name}` takes two values: {name}(x, y)") };
    let FunctionArguments::List(arguments) = &function.args else { return Err(wrong()) };
    let [value, by] = arguments.args.as_slice() else { return Err(wrong()) };
    if !arguments.clauses.is_empty() || !function.within_group.is_empty() {
        return Err(wrong());
    }
    let order = if name == "arg_max" { "DESC" } else { "ASC" };
    let filter = match &function.filter {
        Some(filter) => format!("({filter}) AND ({by}) IS NOT NULL"),
        None => format!("({by}) IS NOT NULL"),
    };
    let text = format!("first_value({value} ORDER BY ({by}) {order} NULLS LAST) FILTER (WHERE {filter})");
    match parse(&text)? {
        Ast::Function(function) => Ok(function),
        _ => Err(wrong()),
    }
}
