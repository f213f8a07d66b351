//! The functions that expressions may call: DataFusion's scalar functions that give the same answer for the same row.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use arrow::datatypes::DataType;
use datafusion_common::config::ConfigOptions;
use datafusion_common::{DataFusionError, TableReference};
use datafusion_expr::planner::{ContextProvider, ExprPlanner};
use datafusion_expr::{AggregateUDF, HigherOrderUDF, ScalarUDF, TableSource, Volatility, WindowUDF};
use datafusion_functions::core::planner::CoreFunctionPlanner;
use datafusion_functions::datetime::planner::DatetimeFunctionPlanner;
use datafusion_functions::unicode::planner::UnicodeFunctionPlanner;
use datafusion_functions_aggregate::planner::AggregateFunctionPlanner;
use datafusion_sql::sqlparser::ast::{
    CastKind, DataType as SqlType, DateTimeField, Expr as Ast, ExtractSyntax, Function, FunctionArg, FunctionArgExpr,
    FunctionArguments, Ident, ObjectName, Spanned, Value,
};

use crate::dataset::closest;

/// Functions whose second argument is a length, which no row may choose: it is allocated.
const LENGTHENING: [&str; 3] = ["lpad", "rpad", "repeat"];
/// The longest such length.
const MAX_LENGTH: usize = 1_000;

/// What other engines call by a function and DataFusion by syntax: `date(x)` is `CAST(x AS DATE)`, `year(x)` is
/// `EXTRACT(YEAR FROM x)`, and so on; and `year_month(x)`, which is `to_char(CAST(x AS DATE), '%Y-%m')`. `None` where it is
/// no such call.
pub(crate) fn spelt_out(function: &Function) -> Option<Ast> {
    let FunctionArguments::List(list) = &function.args else { return None };
    let [FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))] = list.args.as_slice() else { return None };
    let expr = Box::new(argument.clone());
    let field = match function.name.to_string().to_lowercase().as_str() {
        "date" => return Some(as_date(expr)),
        "year_month" => {
            let argument = |expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr));
            let format = Ast::value(Value::SingleQuotedString("%Y-%m".to_owned()));
            let mut list = list.clone();
            list.args = vec![argument(as_date(expr)), argument(format)];
            let mut to_char = function.clone();
            to_char.name = ObjectName::from(vec![Ident::with_span(function.name.span(), "to_char")]);
            to_char.args = FunctionArguments::List(list);
            return Some(Ast::Function(to_char));
        }
        "year" => DateTimeField::Year,
        "quarter" => DateTimeField::Quarter,
        "month" => DateTimeField::Month,
        "day" => DateTimeField::Day,
        "hour" => DateTimeField::Hour,
        _ => return None,
    };
    Some(Ast::Extract { field, syntax: ExtractSyntax::From, expr })
}

fn as_date(expr: Box<Ast>) -> Ast {
    Ast::Cast { kind: CastKind::Cast, expr, data_type: SqlType::Date, array: false, format: None }
}

/// Why a function may not be called so, if that is the case.
pub(crate) fn callable(function: &Function) -> Result<(), String> {
    let name = function.name.to_string().to_lowercase();
    known(&name)?;
    if !LENGTHENING.contains(&name.as_str()) {
        return Ok(());
    }
    let length = match &function.args {
        FunctionArguments::List(list) => list.args.get(1),
        _ => None,
    };
    let fits = match length {
        Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(Ast::Value(literal)))) => match &literal.value {
            Value::Number(digits, _) => digits.parse::<usize>().is_ok_and(|length| length <= MAX_LENGTH),
            _ => false,
        },
        _ => false,
    };
    if fits { Ok(()) } else { Err(format!("function `{name}` needs its length as a number up to {MAX_LENGTH}")) }
}

fn known(name: &str) -> Result<(), String> {
    if FUNCTIONS.by_name.contains_key(name) {
        return Ok(());
    }
    if FUNCTIONS.unstable.contains(name) {
        return Err(format!(
            "function `{name}` gives another answer each time, and the same source must give the same bytes: use a column of the source"
        ));
    }
    if FUNCTIONS.aggregates.contains_key(name) || crate::reports::is_aggregate(name) {
        return Err(format!("`{name}` is an aggregate of many rows, and this expression sees one row"));
    }
    let hint = match closest(name, FUNCTIONS.by_name.keys().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "the scalar functions of DataFusion are known here".to_owned(),
    };
    Err(format!("unknown function `{name}`: {hint}"))
}

/// What the planner asks of its surroundings: functions, and no tables. [`callable`] keeps aggregates out of rows.
pub(crate) struct Functions {
    by_name: BTreeMap<String, Arc<ScalarUDF>>,
    /// Aggregates, which reports alone may call.
    aggregates: BTreeMap<String, Arc<AggregateUDF>>,
    /// Known, and refused: another answer each time.
    unstable: BTreeSet<String>,
    planners: Vec<Arc<dyn ExprPlanner>>,
    pub(super) options: Arc<ConfigOptions>,
}

/// All of them.
pub(crate) static FUNCTIONS: LazyLock<Functions> = LazyLock::new(|| {
    let mut by_name = BTreeMap::new();
    let mut unstable = BTreeSet::new();
    for function in datafusion_functions::all_default_functions() {
        let names = std::iter::once(function.name().to_owned()).chain(function.aliases().iter().cloned());
        for name in names {
            if function.signature().volatility == Volatility::Immutable {
                by_name.insert(name, function.clone());
            } else {
                unstable.insert(name);
            }
        }
    }
    let aggregates = datafusion_functions_aggregate::all_default_aggregate_functions().into_iter();
    let aggregates = aggregates.flat_map(|function| {
        let names = std::iter::once(function.name().to_owned()).chain(function.aliases().iter().cloned());
        names.map(|name| (name, function.clone())).collect::<Vec<_>>()
    });
    Functions {
        by_name,
        aggregates: aggregates.collect(),
        unstable,
        planners: vec![
            Arc::new(CoreFunctionPlanner::default()),
            Arc::new(AggregateFunctionPlanner),
            Arc::new(DatetimeFunctionPlanner),
            Arc::new(UnicodeFunctionPlanner),
        ],
        options: Arc::new(ConfigOptions::default()),
    }
});

impl Functions {
    /// Whether DataFusion has an aggregate of this name.
    pub(crate) fn is_aggregate(&self, name: &str) -> bool {
        self.aggregates.contains_key(name)
    }
}

impl ContextProvider for Functions {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>, DataFusionError> {
        Err(DataFusionError::Plan(format!("there is no table {name}: an expression sees one row")))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.planners
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.by_name.get(&name.to_lowercase()).cloned()
    }

    fn get_higher_order_meta(&self, _name: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.aggregates.get(&name.to_lowercase()).cloned()
    }

    fn get_window_meta(&self, _name: &str) -> Option<Arc<WindowUDF>> {
        None
    }

    fn get_variable_type(&self, _variable_names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &self.options
    }

    fn udf_names(&self) -> Vec<String> {
        self.by_name.keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udaf_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udwf_names(&self) -> Vec<String> {
        Vec::new()
    }
}
