"""The paper's tables and figures, with this project's runs beside them."""
