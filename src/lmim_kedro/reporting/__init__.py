"""Tables beside the paper's, figures, and the page that holds them."""
