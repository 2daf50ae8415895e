"""The ground floor: types, protocols, errors, settings, registry, text cleaning."""
