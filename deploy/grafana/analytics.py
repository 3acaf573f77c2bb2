"""The dashboard for readers: the daily counts of a project, from the analytics endpoint itself.

One request a panel: a load takes 9 of the 30 that a key may make in a minute by default.
"""

from deploy.grafana.panels import Json, Panel, Row, legend
from deploy.grafana.panels import dashboard as whole

_SOURCE: Json = {"type": "yesoreyeram-infinity-datasource", "uid": "ragtime-analytics"}
_DAY = "YYYY-MM-DD"
# JSONata: a list of rows, however many there are. Rows of test traffic are series of their own.
_TEST = '(isLive ? "" : " (test)")'
_STATS = f'$exists(stats[0]) ? [stats.{{"date": date, "key": key & {_TEST}, "value": value}}] : []'
# The answer names its sources beside the counts. Two sources may have one name.
_NAMED_SOURCES = (
    "$exists(sources[0]) ? ($names := sources{id: name};"
    ' [stats.{"date": date, "key": ($name := $lookup($names, key);'
    f' $not($exists($name)) or $name = key ? key : $name & " · " & key) & {_TEST},'
    ' "value": value}]) : []'
)


def _request(category: str, rows: str) -> Json:
    parameters = {
        "category": category,
        "from": f"${{__from:date:{_DAY}}}",
        "to": f"${{__to:date:{_DAY}}}",
        "live": "${live}",
    }
    return {
        "refId": "A",
        "datasource": _SOURCE,
        "type": "json",
        "source": "url",
        "parser": "backend",
        "format": "table",
        "url": "/api/v1/projects/${project}/analytics",
        "url_options": {
            "method": "GET",
            "data": "",
            "params": [{"key": key, "value": value} for key, value in parameters.items()],
        },
        "root_selector": rows,
        "columns": [
            {
                "selector": "date",
                "text": "date",
                "type": "timestamp",
                "timestampFormat": "2006-01-02",
            },
            {"selector": "key", "text": "key", "type": "string"},
            {"selector": "value", "text": "value", "type": "number"},
        ],
        "filters": [],
    }


# Rows come latest first. A series a key, each in the order of time.
_BY_KEY: list[Json] = [
    {"id": "sortBy", "options": {"sort": [{"field": "date", "desc": False}]}},
    {
        "id": "partitionByValues",
        "options": {"fields": ["key"], "keepFields": False, "naming": {"asLabels": True}},
    },
]
_NAME_OF_KEY: Json = {"displayName": "${__field.labels.key}"}


# A mean has no sum, and a conversation that goes on for days is in the numbers of each.
_NOT_ADDED_UP = {"conversation", "language", "session"}


def _days(title: str, about: str, category: str, *overrides: Json, width: int = 12) -> Panel:
    custom = {"drawStyle": "bars", "fillOpacity": 80, "barAlignment": 1}
    return Panel(
        title,
        about,
        "timeseries",
        [_request(category, _STATS)],
        width=width,
        height=8,
        options=legend() if category in _NOT_ADDED_UP else legend("sum"),
        look=_NAME_OF_KEY | {"min": 0, "custom": custom | {"stacking": {"mode": "normal"}}},
        overrides=overrides,
        transformations=_BY_KEY,
    )


def _shares(title: str, about: str, category: str) -> Panel:
    return Panel(
        title,
        about,
        "piechart",
        [_request(category, _STATS)],
        height=8,
        options={
            "pieType": "donut",
            "reduceOptions": {"calcs": ["sum"]},
            "legend": {"displayMode": "table", "placement": "right", "values": ["value"]},
        },
        look=_NAME_OF_KEY,
        transformations=_BY_KEY,
    )


def _largest(title: str, about: str, category: str, rows: str) -> Panel:
    return Panel(
        title,
        about,
        "bargauge",
        [_request(category, rows)],
        width=12,
        height=10,
        options={
            "orientation": "horizontal",
            "displayMode": "basic",
            "reduceOptions": {"calcs": ["lastNotNull"], "values": True, "limit": 15},
        },
        transformations=[
            {
                "id": "groupBy",
                "options": {
                    "fields": {
                        "key": {"operation": "groupby", "aggregations": []},
                        "value": {"operation": "aggregate", "aggregations": ["sum"]},
                    }
                },
            },
            {"id": "sortBy", "options": {"sort": [{"field": "value (sum)", "desc": True}]}},
        ],
    )


def _beside(key: str, unit: str) -> Json:
    """A mean: a line of its own, on the other side, in no sum."""
    properties = {
        "unit": unit,
        "custom.drawStyle": "line",
        "custom.axisPlacement": "right",
        "custom.stacking": {"mode": "none"},
        "custom.fillOpacity": 0,
    }
    return {
        "matcher": {"id": "byRegexp", "options": f"/^{key}( \\(test\\))?$/"},
        "properties": [{"id": id_, "value": value} for id_, value in properties.items()],
    }


_ROWS = [
    Row(
        "Use",
        [
            _days("Messages", "Messages of users a day, by user type.", "usage"),
            _days(
                "Conversations",
                "Conversations with at least one message that day, and users' messages in each.",
                "conversation",
                _beside("avg_messages", "short"),
            ),
            _days(
                "Sessions",
                "Sessions that began that day, and the mean length of those that ended.",
                "session",
                _beside("avg_duration", "s"),
            ),
            _days("Searches for knowledge", "With a hit, and without.", "rag"),
        ],
    ),
    Row(
        "Who",
        [
            _days(
                "Languages",
                "Conversations a day by language; one that goes on for days is in each of them, so"
                " days are not added up.",
                "language",
                width=8,
            ),
            _shares("Countries", "Sessions by country.", "country"),
            _shares("Devices", "Sessions by device type.", "device"),
        ],
    ),
    Row(
        "What",
        [
            _largest(
                "Sources", "How often each was cited, the 15 largest.", "source", _NAMED_SOURCES
            ),
            _largest("Actions", "Clicks on action buttons, the 15 largest.", "action", _STATS),
        ],
    ),
]


def dashboard() -> Json:
    """The whole dashboard."""
    demo = {"text": "demo", "value": "demo"}
    project = {"name": "project", "label": "Project", "type": "textbox", "query": "demo"}
    live = {"name": "live", "label": "Live only", "type": "custom", "query": "true,false"}
    return whole(
        "ragtime-analytics",
        "RAGtime: analytics",
        "Daily counts of a project, by UTC days. The key in Grafana's data source must be of this"
        " project, with the scope analytics:read.",
        _ROWS,
        time={"from": "now-30d", "to": "now"},
        templating={
            "list": [
                project | {"current": demo},
                live | {"current": {"text": "true", "value": "true"}},
            ]
        },
    )
